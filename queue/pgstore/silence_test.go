package pgstore

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// losePatience lets the time pass that others wait for the statements under way.
func (s *shop) losePatience() {
	time.Sleep(s.patience)
	synctest.Wait()
}

// inLine says how many wait for a statement.
func (s *shop) inLine() int {
	s.merger.mu.Lock()
	defer s.merger.mu.Unlock()
	return len(s.waiting)
}

// allow lets so many statements end.
func (s *shop) allow(n int) {
	for range n {
		s.let <- struct{}{}
	}
	synctest.Wait()
}

func TestMergerGoesOnWithoutASilentStatement(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShop(0)
		s.mute = 2
		first, second := s.ask(t.Context(), 1), s.ask(t.Context(), 2)
		s.let <- struct{}{}
		if synctest.Wait(); s.inLine() != 1 {
			t.Error("served before patience was lost")
		}
		if s.losePatience(); second.answer != "together" {
			t.Errorf("a caller that waited: %+v", second)
		}
		third := s.ask(t.Context(), 3)
		if s.allow(1); third.answer != "together" {
			t.Errorf("a caller that came later: %+v", third)
		}
		if s.silent != 1 {
			t.Errorf("%d silent statements", s.silent)
		}
		close(s.speak)
		synctest.Wait()
		if first.answer != "together" || s.silent != 0 || s.flushing != 0 {
			t.Errorf("after the end of silence: %+v, %d silent, %d under way", first, s.silent, s.flushing)
		}
	})
}

func TestMergerHasNoMoreStatementsUnderWayThanBeforeTheSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShop(0)
		s.mute = 2
		s.ask(t.Context(), 1)
		s.losePatience()
		for n := range 3 { // one of them goes at once
			s.ask(t.Context(), 2+n)
		}
		close(s.speak)
		synctest.Wait()
		if s.flushing != 1 {
			t.Errorf("%d statements under way", s.flushing)
		}
		s.allow(2)
		if len(s.batches) != 3 || !slices.Equal(s.batches[2], []int{3, 4}) || s.flushing != 0 {
			t.Errorf("statements for %v, %d under way", s.batches, s.flushing)
		}
	})
}

func TestMergerLeavesEverybodyAloneWhenAllStatementsAreSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShop(0)
		s.mute = 2 + extraLanes
		var silent []*told
		for n := range 1 + extraLanes {
			s.losePatience()
			silent = append(silent, s.ask(t.Context(), 1+n))
		}
		waiting := s.ask(t.Context(), 100)
		if s.inLine() != 1 {
			t.Error("served before patience was lost")
		}
		s.losePatience()
		if later := s.ask(t.Context(), 101); waiting.answer != "alone" || later.answer != "alone" {
			t.Errorf("%+v, %+v", waiting, later)
		}
		close(s.speak)
		synctest.Wait()
		for i, c := range silent {
			if c.answer != "together" {
				t.Errorf("silent caller %d: %+v", i, c)
			}
		}
		again := s.ask(t.Context(), 102)
		if s.allow(1); again.answer != "together" || s.silent != 0 || s.flushing != 0 {
			t.Errorf("after the end of silence: %+v, %d silent, %d under way", again, s.silent, s.flushing)
		}
	})
}

func TestMergerDoesNotWaitForeverForAnAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShop(0)
		s.many = func(ctx context.Context, _ []int) ([]merged[string], error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		began := time.Now()
		if answer, err := s.do(t.Context(), 1); answer != "alone" || err != nil || time.Since(began) != s.timeout {
			t.Errorf("%s, %v after %s", answer, err, time.Since(began))
		}
	})
}
