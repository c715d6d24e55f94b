package trend

import (
	"cmp"
	"math"
	"slices"
	"time"
)

// Hour is the lowest and the highest value of one hour.
type Hour struct {
	Number    int64 // hours since 1970
	Low, High float64
}

const (
	day      = 24
	leastDay = 46 * time.Hour // before two days are there nothing is compared; the first and the last hour are not whole
	// Most is the number of hours that count: two weeks.
	Most = 14 * day

	// quiet is the number of hours of the day in which the service is quietest. What load adds differs from day to day; what is
	// left without it does not, and that is where a leak shows first.
	quiet      = 6
	leastOfDay = 3  // values in quiet hours, so that a day has a level
	leastPairs = 16 // hours of the day that can be compared

	// Two days say nothing about how days differ. They differ by this much at the least.
	leastOfSwing = 0.03
	leastOfLevel = 0.001

	mostWithoutWeek = 0.8   // confidence before a whole week was seen
	flatShare       = 0.1   // of the level: growth of less than this in a day is small
	faster          = 1.5   // times by which newer days have to grow faster to count alone
	goesOn          = 0.4   // of the growth, that the newest day and each half of it have to have
	mostJump        = 0.5   // of the growth, that one day may have of many
	leastDayGrowth  = 0.002 // of the level, in a day: less is none
)

// Sure is the confidence from which on growth counts as seen.
const Sure = 0.5

// Estimate is what the hours of one start of a service say.
type Estimate struct {
	Known      bool    // two days can be compared; all else is zero if not
	Growing    bool    // sure, and not a single jump, and it goes on
	PerSecond  float64 // the slope as it is estimated, whether that is growth or not
	Bound      float64 // it lies within PerSecond ± Bound, as days differ
	Likely     bool    // as Growing, and not sure
	Confidence float64 // 0 to 1: in the growth where it is growing or likely, else in that there is none
	Level      float64 // the median in the quiet hours
	Days       float64 // that are there
	From       time.Time

	steepest float64 // rise within the day by its rhythm alone, per second
	hours    []Hour
}

// Growth is what counts as growth: the slope where it is more than what days differ by, else 0.
func (e *Estimate) Growth() float64 {
	if !e.Growing && !e.Likely {
		return 0
	}
	return e.PerSecond
}

// windows are the spans that are judged, the longest first.
var windows = []int64{Most, 7 * day, 3 * day}

// Of estimates the growth of hours in their order, all of one start of the service.
func Of(hours []Hour) Estimate {
	var best Estimate
	for i, span := range windows {
		if len(hours) == 0 || i > 0 && hours[len(hours)-1].Number-hours[0].Number < span {
			continue
		}
		first := hours[len(hours)-1].Number - span
		from, _ := slices.BinarySearchFunc(hours, first, func(h Hour, n int64) int { return cmp.Compare(h.Number, n+1) })
		e := within(hours[from:])
		if i == 0 || e.Growing && (!best.Growing || math.Abs(e.PerSecond) >= faster*math.Abs(best.PerSecond)) {
			best = e
		}
	}
	return best
}

// pair is a slope and what it weighs: how far its points are apart.
type pair struct{ slope, weight float64 }

// fit is the work on one window.
type fit struct {
	hours   []Hour
	before  []int32 // index of the hour before of the same hour of the day, -1: none
	last    [day]int32
	pairs   []pair
	values  []float64
	slope   float64      // per hour
	profile [day]float64 // of an hour of the day, without the slope
	has     [day]bool
	quiet   [day]bool
	swing   float64
}

// within estimates one window.
func within(hours []Hour) Estimate {
	if len(hours) == 0 {
		return Estimate{}
	}
	span := time.Duration(hours[len(hours)-1].Number-hours[0].Number) * time.Hour
	short := Estimate{Days: (span + time.Hour).Hours() / day, From: time.Unix(hours[0].Number*3600, 0)}
	if span < leastDay {
		return short
	}
	f := fit{hours: hours, pairs: make([]pair, 0, 2*len(hours)), values: make([]float64, 0, len(hours))}
	f.chain()
	f.collect(false, 1)
	if len(f.pairs) < leastPairs {
		return short
	}
	f.slope = median(f.pairs)
	for range 2 {
		f.shape()
		f.collect(true, Most/day)
		if len(f.pairs) == 0 {
			return short
		}
		f.slope = median(f.pairs)
	}
	return f.judge(short)
}

// chain finds for each hour the one before of the same hour of the day.
func (f *fit) chain() {
	for c := range f.last {
		f.last[c] = -1
	}
	f.before = make([]int32, len(f.hours))
	for i := range f.hours {
		c := f.hours[i].Number % day
		f.before[i], f.last[c] = f.last[c], int32(i)
	}
}

// collect takes the slopes of all pairs of the same hour of the day, or only of the quiet ones, up to so many days apart.
func (f *fit) collect(quiet bool, days int64) {
	f.pairs = f.pairs[:0]
	for i := range f.hours {
		h := &f.hours[i]
		if quiet && !f.quiet[h.Number%day] {
			continue
		}
		for j := f.before[i]; j >= 0; j = f.before[j] {
			apart := h.Number - f.hours[j].Number
			if apart > days*day {
				break
			}
			f.pairs = append(f.pairs, pair{(h.Low - f.hours[j].Low) / float64(apart), float64(apart)})
		}
	}
}

// median is the weighted median of slopes.
func median(pairs []pair) float64 {
	slices.SortFunc(pairs, func(a, b pair) int { return cmp.Compare(a.slope, b.slope) })
	sum := 0.0
	for _, p := range pairs {
		sum += p.weight
	}
	half := 0.0
	for i, p := range pairs {
		switch half += p.weight; {
		case half > sum/2:
			return p.slope
		case half == sum/2 && i+1 < len(pairs):
			return (p.slope + pairs[i+1].slope) / 2
		}
	}
	return 0
}

// rest is what an hour has without the slope.
func (f *fit) rest(h *Hour) float64 { return h.Low - f.slope*float64(h.Number-f.hours[0].Number) }

// shape finds the profile of the day, and its quiet hours.
func (f *fit) shape() {
	order := make([]int, 0, day)
	lowest, highest := math.Inf(1), math.Inf(-1)
	for c := range f.profile {
		values := f.values[:0]
		for i := f.last[c]; i >= 0; i = f.before[i] {
			values = append(values, f.rest(&f.hours[i]))
		}
		if f.has[c] = len(values) > 0; !f.has[c] {
			continue
		}
		f.profile[c], f.quiet[c] = middle(values), false
		lowest, highest = min(lowest, f.profile[c]), max(highest, f.profile[c])
		if len(values) > 1 {
			order = append(order, c)
		}
	}
	f.swing = highest - lowest
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(f.profile[a], f.profile[b]) })
	for _, c := range order[:min(quiet, len(order))] {
		f.quiet[c] = true
	}
}

// middle is the median. It sorts what it is given.
func middle(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	slices.Sort(values)
	return (values[(len(values)-1)/2] + values[len(values)/2]) / 2
}

// level is what a day has in its quiet hours more than the line.
type level struct{ at, value float64 } // hours

func (f *fit) levels() []level {
	out := make([]level, 0, len(f.hours)/day+1)
	values := f.values[:0]
	begin := f.hours[0].Number
	var at, number float64
	end := func() {
		if len(values) >= leastOfDay {
			out = append(out, level{at / number, middle(values)})
		}
		values, at, number = values[:0], 0, 0
	}
	last := int64(0)
	for i := range f.hours {
		h := &f.hours[i]
		if d := (h.Number - begin) / day; d != last {
			end()
			last = d
		}
		if c := h.Number % day; f.quiet[c] {
			values = append(values, f.rest(h)-f.profile[c])
			at, number = at+float64(h.Number-begin), number+1
		}
	}
	end()
	return out
}

// judge says how sure the slope is.
func (f *fit) judge(e Estimate) Estimate {
	levels := f.levels()
	n := float64(len(levels))
	if len(levels) < 2 {
		return e
	}
	lows := f.values[:0]
	for i := range f.hours {
		if f.quiet[f.hours[i].Number%day] {
			lows = append(lows, f.hours[i].Low)
		}
	}
	e.Known, e.Level, e.hours = true, middle(lows), f.hours
	meanAt, mean := 0.0, 0.0
	for _, l := range levels {
		meanAt, mean = meanAt+l.at/n, mean+l.value/n
	}
	spread, sxx := 0.0, 0.0
	for _, l := range levels {
		spread, sxx = spread+(l.value-mean)*(l.value-mean), sxx+(l.at-meanAt)*(l.at-meanAt)
	}
	least := leastOfSwing*f.swing + leastOfLevel*math.Abs(e.Level)
	sigma := max(math.Sqrt(spread/max(n-2, 1)), least)
	bound := (2 + 4/(n-1)) * sigma / math.Sqrt(sxx)
	e.PerSecond, e.Bound, e.steepest = f.slope/3600, bound/3600, f.steepest()/3600
	slope := math.Abs(f.slope)
	grows := slope >= bound && slope*day >= leastDayGrowth*math.Abs(e.Level) && f.steady(levels, least) && f.goesOn()
	if grows {
		e.Confidence = 1 - bound/slope
		e.Growing = e.Confidence >= Sure
		e.Likely = !e.Growing
	} else {
		e.Confidence = 1 - min((slope+bound)*day/(flatShare*max(math.Abs(e.Level), 1)), 1)
	}
	if e.Days < 7 {
		e.Confidence = min(e.Confidence, mostWithoutWeek)
	}
	return e
}

// steady reports whether no single day has most of the growth: that is a jump, such as of another way to count.
func (f *fit) steady(levels []level, noise float64) bool {
	sign := math.Copysign(1, f.slope)
	total := f.slope * sign * (levels[len(levels)-1].at - levels[0].at)
	share := max(mostJump, 1.6/float64(max(len(levels)-1, 1)))
	for i := 1; i < len(levels) && len(levels) > 2; i++ {
		jump := sign * (levels[i].value - levels[i-1].value + f.slope*(levels[i].at-levels[i-1].at))
		if jump > share*total+3*noise {
			return false
		}
	}
	return true
}

// goesOn reports whether the newest day has grown, in each of its halves, against the day before.
func (f *fit) goesOn() bool {
	newest := f.hours[len(f.hours)-1].Number
	var halves [2][]float64
	for i := len(f.hours) - 1; i >= 0 && newest-f.hours[i].Number < day; i-- {
		h, j := &f.hours[i], f.before[i]
		if j >= 0 && h.Number-f.hours[j].Number == day && f.quiet[h.Number%day] {
			half := (newest - h.Number) / (day / 2)
			halves[half] = append(halves[half], h.Low-f.hours[j].Low)
		}
	}
	for _, values := range halves {
		if len(values) > 0 && middle(values)*math.Copysign(1, f.slope) < goesOn*math.Abs(f.slope)*day {
			return false
		}
	}
	return true
}

// steepest is the steepest rise of the profile within two hours, per hour.
func (f *fit) steepest() float64 {
	out := 0.0
	for c := range f.profile {
		if next := (c + 2) % day; f.has[c] && f.has[next] {
			out = max(out, (f.profile[next]-f.profile[c])/2)
		}
	}
	return out
}
