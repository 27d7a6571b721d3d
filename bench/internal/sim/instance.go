package sim

import "time"

// instance is one process of the service.
type instance struct {
	slots int // taken
	cpus  *station
	conns *station
	used  integral // of slots
	awake integral // 1 while it has a request, which is what Cloud Run bills
}

// service is what Cloud Run makes of it: a number of instances, and requests
// that wait for one.
type service struct {
	clock     *clock
	cfg       Config
	instances []*instance // that run
	taken     int         // slots of all
	starting  int
	line      fifo[func(*instance)]
}

func newService(c *clock, cfg Config) *service {
	s := &service{clock: c, cfg: cfg}
	for range cfg.Warm {
		s.started()
	}
	return s
}

func (s *service) started() {
	i := &instance{cpus: newStation(s.clock, s.cfg.InstanceCPUs), conns: newStation(s.clock, s.cfg.Conns)}
	i.used.reset(s.clock.now)
	i.awake.reset(s.clock.now)
	i.cpus.used.reset(s.clock.now)
	i.conns.used.reset(s.clock.now)
	s.instances = append(s.instances, i)
	for range s.cfg.Concurrency {
		next, ok := s.line.pop()
		if !ok {
			break
		}
		s.take(i)
		next(i)
	}
}

// enter gives a request to the instance that has least to do, or lets it wait.
// It starts another instance when those that start have no room for all that
// wait.
func (s *service) enter(then func(*instance)) {
	if i := s.idlest(); i != nil {
		s.take(i)
		then(i)
		return
	}
	s.line.push(then)
	if len(s.instances)+s.starting < s.cfg.Instances && s.line.len() > s.starting*s.cfg.Concurrency {
		s.starting++
		s.clock.after(s.cfg.StartUp, func() {
			s.starting--
			s.started()
		})
	}
}

// idlest is the instance with the fewest requests, nil if all are full.
func (s *service) idlest() *instance {
	if s.taken == len(s.instances)*s.cfg.Concurrency {
		return nil
	}
	var best *instance
	for _, i := range s.instances {
		if i.slots < s.cfg.Concurrency && (best == nil || i.slots < best.slots) {
			best = i
		}
	}
	return best
}

func (s *service) take(i *instance) {
	i.note(s.clock.now)
	i.slots++
	s.taken++
}

// leave frees the slot of a request, or gives it on.
func (s *service) leave(i *instance) {
	if next, ok := s.line.pop(); ok {
		next(i)
		return
	}
	i.note(s.clock.now)
	i.slots--
	s.taken--
}

func (i *instance) note(now time.Duration) {
	i.used.add(now, i.slots)
	i.awake.add(now, min(i.slots, 1))
}
