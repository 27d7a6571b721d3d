package testproc

import (
	"fmt"
	"os"
	"os/exec"
	"testing"
)

// A process that says something and then answers has said it by then.
func TestLogHasWhatWasWrittenBeforeTheAnswer(t *testing.T) {
	command := exec.Command("sh", "-c", `while read line; do echo "got $line" >&2; echo "$line" >&3; done`)
	log := NewLog(t, command)
	in, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	answers, pipe, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	command.ExtraFiles = append(command.ExtraFiles, pipe)
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	_ = pipe.Close()
	want := ""
	for i := range 200 {
		fmt.Fprintln(in, i)
		var answer int
		if _, err := fmt.Fscanln(answers, &answer); err != nil || answer != i {
			t.Fatalf("answer %d: %v", answer, err)
		}
		if want += fmt.Sprintf("got %d\n", i); log.String() != want {
			t.Fatalf("after answer %d the log ends with %q", i, log.String())
		}
	}
	_ = in.Close()
	if err := command.Wait(); err != nil {
		t.Error(err)
	}
}
