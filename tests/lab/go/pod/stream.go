package main

import (
	"sync"
	"time"
)

// A pause between two sendings counts as a gap from this many intervals on.
const gapIntervals = 5

// mostUnderWay bounds the requests of a stream that wait for their answers. A machine that cannot keep up is asked more slowly:
// to make up for what was due would slow it further, until answers come too late for reasons of its own. Few connections are
// all in use, too: a server that drains closes those at the end that had nothing to do, also under a request that just comes.
const mostUnderWay = 8

// stream sends one request at a steady rate, whatever the answers are, until stop is closed; then it waits for the last answers.
// first is called when the first answer is there.
func stream(wanted request, perSecond float64, first func(), stop <-chan struct{}) tally {
	result := tally{ByStatus: map[int]int{}, Errors: map[string]int{}, Gaps: []float64{}}
	interval := time.Duration(float64(time.Second) / perSecond)
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	var mu sync.Mutex
	var group sync.WaitGroup
	var begin sync.Once
	underWay := make(chan struct{}, mostUnderWay)
	started, last := time.Now(), time.Now()
	for {
		now := time.Now()
		if gap := now.Sub(last); result.Sent > 0 && gap > gapIntervals*interval {
			result.Gaps = append(result.Gaps, gap.Seconds())
		}
		last = now
		// A ticker drops ticks that nobody took in time: what is due by the clock is sent, so that the rate holds.
		for due := int(now.Sub(started)/interval) + 1; result.Sent < due; result.Sent++ {
			if len(underWay) == mostUnderWay {
				started = now.Add(-time.Duration(result.Sent) * interval)
				break
			}
			underWay <- struct{}{}
			group.Go(func() {
				got := exchange(wanted)
				<-underWay
				mu.Lock()
				defer mu.Unlock()
				result.ByStatus[got.Status]++
				if got.Error != "" {
					result.Errors[got.Error]++
				}
				begin.Do(first)
			})
		}
		select {
		case <-ticker.C:
		case <-stop:
			group.Wait()
			return result
		}
	}
}
