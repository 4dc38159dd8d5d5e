package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"
)

// A crew shares each order among its workers: one in this process, or several in processes of their
// own, because a process has only so many descriptors and a loop only one core.
type crew []worker

// workerMode is the argument that makes this program a crew's child; the rest of the line follows.
const workerMode = "worker"

// newCrew starts n workers for the target that args, the command line's, describe.
func newCrew(t target, n int, args []string) (crew, error) {
	if n <= 1 {
		l, err := newLoop(t)
		if err != nil {
			return nil, err
		}
		return crew{l}, nil
	}
	var c crew
	for range n {
		w, err := startChild(args)
		if err != nil {
			c.Close()
			return nil, err
		}
		c = append(c, w)
	}
	return c, nil
}

// do has the order carried out by all at the same time, and returns the sum of what they counted.
func (c crew) do(ctx context.Context, o order) (*tally, error) {
	parts := make(chan part, len(c))
	for i, w := range c {
		go doPart(ctx, w, o.share(i, len(c)), parts)
	}
	sum := newTally()
	var errs []error
	for range c {
		p := <-parts
		errs = append(errs, p.err)
		if p.tally != nil {
			sum.merge(p.tally)
		}
	}
	return sum, errors.Join(errs...)
}

// A part is what one worker made of its share of an order.
type part struct {
	tally *tally
	err   error
}

func doPart(ctx context.Context, w worker, o order, parts chan<- part) {
	t, err := w.do(ctx, o)
	parts <- part{t, err}
}

// Close ends all workers.
func (c crew) Close() error {
	var errs []error
	for _, w := range c {
		errs = append(errs, w.Close())
	}
	return errors.Join(errs...)
}

// A child is a worker in a process of its own, which lives from order to order over a pair of pipes.
type child struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	enc *json.Encoder
	dec *json.Decoder
}

func startChild(args []string) (*child, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self, append([]string{workerMode}, args...)...)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return &child{cmd, in, json.NewEncoder(in), json.NewDecoder(out)}, nil
}

func (w *child) do(ctx context.Context, o order) (*tally, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { w.cmd.Process.Kill() })
	defer stop()
	if err := w.enc.Encode(o); err != nil {
		return nil, fmt.Errorf("worker: %w", err)
	}
	var r reply
	if err := w.dec.Decode(&r); err != nil {
		return nil, errors.Join(ctx.Err(), fmt.Errorf("worker: %w", err))
	}
	if r.Error != "" {
		return r.Tally, errors.New(r.Error)
	}
	return r.Tally, nil
}

// Close ends the orders and thereby the process.
func (w *child) Close() error {
	w.in.Close()
	kill := time.AfterFunc(5*time.Second, func() { w.cmd.Process.Kill() })
	defer kill.Stop()
	return w.cmd.Wait()
}
