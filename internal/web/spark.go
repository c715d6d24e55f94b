package web

import (
	"strconv"
	"time"

	"github.com/spillway-exporter/spillway_exporter/internal/metric"
	"github.com/spillway-exporter/spillway_exporter/internal/series"
)

const (
	sparkWidth, sparkHeight = 96, 40
	sparkSpan               = 2 * time.Hour
	sparkYoung              = 20 * time.Minute // with less of a past, the sparklines show 15 minutes
	sparkPoints             = 24
)

// sparks draws the memory of many targets over the same time.
type sparks struct {
	store  *series.Store
	from   time.Time
	span   time.Duration
	points []series.Point
}

// newSparks returns sparks that show two hours, or 15 minutes while no target has more of a past.
func (s *server) newSparks(names []string) *sparks {
	sp := &sparks{store: s.Store, span: 15 * time.Minute}
	for _, name := range names {
		sp.points = s.Store.Points(sp.points[:0], series.TierMedium, metric.MemoryUsed, name)
		if len(sp.points) > 0 && s.Now().Sub(sp.points[0].Time) > sparkYoung {
			sp.span = sparkSpan
			break
		}
	}
	sp.from = s.Now().Add(-sp.span)
	return sp
}

// Over names the time that the sparklines show.
func (sp *sparks) Over() string {
	if sp.span == sparkSpan {
		return "2 h"
	}
	return "15 min"
}

// path draws the memory of a target from 0 to its limit, or to its largest value where there is no limit.
func (sp *sparks) path(name string, limit *float64) string {
	tier := series.TierMedium
	if sp.span != sparkSpan {
		tier = series.TierSample
	}
	sp.points = sp.store.Points(sp.points[:0], tier, metric.MemoryUsed, name)
	points := sp.points
	for len(points) > 0 && points[0].Time.Before(sp.from) {
		points = points[1:]
	}
	if len(points) < 2 {
		return ""
	}
	top, ok := finite(limit)
	if !ok || top <= 0 {
		for _, p := range points {
			top = max(top, p.Last*1.1)
		}
	}
	if top <= 0 {
		return ""
	}
	every := (len(points) + sparkPoints - 1) / sparkPoints
	place := func(p *series.Point) (x, y int) {
		share := p.Time.Sub(sp.from).Seconds() / sp.span.Seconds()
		return int(sparkWidth*min(share, 1) + .5), int(sparkHeight*(1-min(max(p.Last/top, 0), 1)) + .5)
	}
	x, y := place(&points[0])
	out := append(make([]byte, 0, 160), 'M')
	out = strconv.AppendInt(out, int64(x), 10)
	out = append(out, ' ')
	out = strconv.AppendInt(out, int64(y), 10)
	for i := range points {
		if i == 0 || (len(points)-1-i)%every != 0 { // the newest is always drawn
			continue
		}
		nx, ny := place(&points[i])
		out = appendStep(out, nx-x, ny-y)
		x, y = nx, ny
	}
	return string(out)
}

// appendStep appends a line relative to where the last one ended.
func appendStep(dst []byte, dx, dy int) []byte {
	dst = append(dst, 'l')
	dst = strconv.AppendInt(dst, int64(dx), 10)
	if dy >= 0 {
		dst = append(dst, ' ')
	}
	return strconv.AppendInt(dst, int64(dy), 10)
}
