package kubbi_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"kubbi-mcp/kubbi"
	"kubbi-mcp/kubbi/api"
)

// A relay of ours answers a waiting call as soon as there is a change.
func TestWaitForAClaim(t *testing.T) {
	_, clients := start(t)
	ctx := t.Context()
	const soon = 10 * time.Second
	for name, c := range clients {
		sent, err := c.Send(ctx, kubbi.SendParams{Content: "x", MaxRetrievals: 1})
		if err != nil {
			t.Fatal(err)
		}
		type result struct {
			status api.Status
			err    error
			took   time.Duration
		}
		got, inspected, cancelled := make(chan result, 1), make(chan result, 1), make(chan result, 1)
		begin := time.Now()
		go func() {
			k, err := c.Get(ctx, sent.ID, kubbi.WithWait(40*time.Second))
			if err != nil {
				k = &kubbi.Kubbi{}
			}
			got <- result{k.Status, err, time.Since(begin)}
		}()
		go func() {
			_, err := c.Inspect(ctx, sent.ClaimURL, kubbi.WithWait(40*time.Second))
			inspected <- result{"", err, time.Since(begin)}
		}()
		leaving, leave := context.WithCancel(ctx)
		go func() {
			_, err := c.Get(leaving, sent.ID, kubbi.WithWait(40*time.Second))
			cancelled <- result{"", err, time.Since(begin)}
		}()
		time.Sleep(100 * time.Millisecond) // so that all wait; the test holds without that
		leave()
		if r := <-cancelled; !errors.Is(r.err, context.Canceled) || r.took > soon {
			t.Errorf("%s: cancelled after %v: %v", name, r.took, r.err)
		}
		if _, err := c.Claim(ctx, sent.ClaimURL); err != nil {
			t.Fatal(err)
		}
		if r := <-got; r.err != nil || r.status != api.StatusBurned || r.took > soon {
			t.Errorf("%s: get gave %q after %v, error %v", name, r.status, r.took, r.err)
		}
		if r := <-inspected; !errors.Is(r.err, kubbi.ErrGone) || r.took > soon {
			t.Errorf("%s: inspect ended after %v: %v", name, r.took, r.err)
		}
	}
}

// A waiting Asked returns when the request is answered.
func TestWaitForAnAnswer(t *testing.T) {
	_, clients := start(t)
	ctx := t.Context()
	for name, c := range clients {
		asked, err := c.Ask(ctx, kubbi.AskParams{Message: "a key", Fields: []api.Field{{Name: "KEY", Secret: true}}})
		if err != nil {
			t.Fatal(err)
		}
		type result struct {
			asked *api.Asked
			err   error
			took  time.Duration
		}
		done := make(chan result, 1)
		begin := time.Now()
		go func() {
			now, err := c.Asked(ctx, asked.ID, kubbi.WithWait(40*time.Second))
			done <- result{now, err, time.Since(begin)}
		}()
		time.Sleep(100 * time.Millisecond) // so that it waits; the test holds without that
		if _, err := c.Answer(ctx, asked.RequestURL, kubbi.AnswerParams{Values: map[string]string{"KEY": "x"}}); err != nil {
			t.Fatal(err)
		}
		if r := <-done; r.err != nil || r.asked.Status != api.RequestAnswered || r.took > 20*time.Second {
			t.Errorf("%s: %+v after %v, error %v", name, r.asked, r.took, r.err)
		}
	}
}
