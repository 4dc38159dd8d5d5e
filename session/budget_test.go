package session

import (
	"sync"
	"testing"
)

func TestBudgetTakesAllOrNothing(t *testing.T) {
	b := NewBudget(100)
	if !b.Take(60) || !b.Take(40) {
		t.Fatal("refused what fits")
	}
	if b.Take(1) || b.Used() != 100 {
		t.Fatalf("took more than the limit: used %d", b.Used())
	}
	b.Give(40)
	if b.Take(41) || b.Used() != 60 {
		t.Fatalf("a refused Take charged something: used %d", b.Used())
	}
	if !b.Take(40) {
		t.Fatal("refused what was given back")
	}
}

func TestBudgetLowerLimitRefusesUntilEnoughIsGiven(t *testing.T) {
	b := NewBudget(100)
	b.Take(80)
	b.SetLimit(50)
	if b.Limit() != 50 || b.Used() != 80 {
		t.Fatalf("limit %d, used %d", b.Limit(), b.Used())
	}
	if b.Take(1) {
		t.Fatal("took above the new limit")
	}
	b.Give(40)
	if !b.Take(10) {
		t.Fatal("refused below the new limit")
	}
}

func TestBudgetIsExactAmongGoroutines(t *testing.T) {
	const limit, takers, rounds = 10, 4, 2000
	b := NewBudget(limit)
	var wg sync.WaitGroup
	for range takers {
		wg.Go(func() {
			for range rounds {
				if b.Take(3) {
					if used := b.Used(); used > limit {
						t.Errorf("used %d of %d", used, limit)
					}
					b.Give(3)
				}
				// A large request that cannot fit must not disturb.
				if b.Take(limit + 1) {
					t.Error("took more than the limit")
				}
			}
		})
	}
	wg.Wait()
	if b.Used() != 0 {
		t.Fatalf("used %d after all was given back", b.Used())
	}
}

func TestSharesOfABudgetCannotUseItUp(t *testing.T) {
	b := NewBudget(120)
	one, other := NewShare(b), NewShare(b)
	take := func(s *Share) (n int) {
		for s.Take(1) {
			n++
		}
		return n
	}
	if n := take(one); n != 60 {
		t.Errorf("one alone gets %d of 120, want half", n)
	}
	if n := take(other); n != 30 {
		t.Errorf("another gets %d of 60 that are left, want half", n)
	}
	if one.Take(1) || !one.Take(0) {
		t.Error("a share that is used up gives one byte, or does not give none")
	}
	one.Give(60)
	if used := b.Used(); used != 30 {
		t.Errorf("%d bytes are charged, want 30", used)
	}
	if n := take(other); n != 30 {
		t.Errorf("after that the other gets %d more, want 30", n)
	}
	other.Give(60)
	if used := b.Used(); used != 0 {
		t.Errorf("%d bytes are still charged", used)
	}
}
