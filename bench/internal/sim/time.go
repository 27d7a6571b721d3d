package sim

import (
	"fmt"
	"math"
	"math/rand/v2"
	"time"
)

// Spread is how far times differ from their mean.
type Spread string

// The spreads.
const (
	Constant    Spread = "constant"    // all the same
	Exponential Spread = "exponential" // the standard deviation is the mean
	Heavy       Spread = "heavy"       // log-normal, the standard deviation is three times the mean
)

// UnmarshalText reads a spread.
func (s *Spread) UnmarshalText(text []byte) error {
	switch spread := Spread(text); spread {
	case Constant, Exponential, Heavy:
		*s = spread
		return nil
	}
	return fmt.Errorf("must be %s, %s or %s, not %q", Constant, Exponential, Heavy, text)
}

// MarshalText is the spread's name.
func (s Spread) MarshalText() ([]byte, error) { return []byte(s), nil }

// heavyVariation is the standard deviation of Heavy over its mean.
const heavyVariation = 3

// draw returns a time of this mean.
func (s Spread) draw(r *rand.Rand, mean time.Duration) time.Duration {
	switch s {
	case Exponential:
		return time.Duration(r.ExpFloat64() * float64(mean))
	case Heavy:
		variance := math.Log(1 + heavyVariation*heavyVariation)
		return time.Duration(float64(mean) * math.Exp(math.Sqrt(variance)*r.NormFloat64()-variance/2))
	default:
		return mean
	}
}
