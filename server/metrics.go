package server

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/walnutkv/walnut/internal/promtext"
	"github.com/walnutkv/walnut/kv"
)

// WritePrometheus writes the numbers of Stats in Prometheus' text format, version 0.0.4, in one write. Names begin with walnut_server_. Those
// of the store are none of them: kv.Stats has its own. Labels tell the server from others; command and kind are taken. An error of the labels
// is returned before anything is written; others are those of w.
func (s *Server) WritePrometheus(w io.Writer, labels ...kv.Label) error {
	text, err := promtext.Labels(labels, "command", "kind")
	if err != nil {
		return fmt.Errorf("server: metrics: %w", err)
	}
	stats := s.Stats()
	var page promtext.Page
	for _, m := range serverMetrics {
		page.Head(m.name, m.help)
		page.Sample(m.name, m.value(&stats), text)
	}
	const commands, groups = "walnut_server_commands_total", "walnut_server_group_seconds"
	page.Head(commands, "Commands that have run, or were queued by MULTI.")
	for _, name := range slices.Sorted(maps.Keys(stats.Commands)) {
		page.Sample(commands, float64(stats.Commands[name]), text, promtext.Text("command", name))
	}
	scale := promtext.Scale{From: 10, To: 35, Unit: float64(time.Second)} // 1 µs to 34 s.
	page.HistogramHead(groups, "How long commands took that ran together, from when they were run until their replies were ready.")
	page.Histogram(groups, stats.ReadLatency.spread, scale, text, promtext.Text("kind", "read"))
	page.Histogram(groups, stats.WriteLatency.spread, scale, text, promtext.Text("kind", "write"))
	_, err = w.Write(page.Bytes())
	return err
}

// serverMetric is a number that has only the labels of its server.
type serverMetric struct {
	name, help string
	value      func(s *Stats) float64
}

var serverMetrics = []serverMetric{
	{"walnut_server_clients", "Connections that are open.", func(s *Stats) float64 { return float64(s.Clients) }},
	{
		"walnut_server_subscribed_clients", "Connections that are open and listen to channels.",
		func(s *Stats) float64 { return float64(s.Subscribed) },
	},
	{
		"walnut_server_connections_total", "Connections that were accepted.",
		func(s *Stats) float64 { return float64(s.Connections) },
	},
	{
		"walnut_server_refused_connections_total", "Connections that were refused, since there were too many.",
		func(s *Stats) float64 { return float64(s.Refused) },
	},
	{"walnut_server_error_replies_total", "Replies that were errors.", func(s *Stats) float64 { return float64(s.Failures) }},
	{
		"walnut_server_slow_commands_total", "Commands that got into the slow log.",
		func(s *Stats) float64 { return float64(s.Slow) },
	},
	{"walnut_server_received_bytes_total", "Bytes from clients.", func(s *Stats) float64 { return float64(s.BytesIn) }},
	{"walnut_server_sent_bytes_total", "Bytes to clients.", func(s *Stats) float64 { return float64(s.BytesOut) }},
	{
		"walnut_server_memory_bytes", "Bytes of memory in use, as they are counted for the limit.",
		func(s *Stats) float64 { return float64(s.Memory) },
	},
	{
		"walnut_server_memory_limit_bytes", "Bytes of memory that may be in use; 0 without a limit.",
		func(s *Stats) float64 { return float64(s.MaxMemory) },
	},
	{
		"walnut_server_out_of_memory", "1 while commands that may need memory are refused.",
		func(s *Stats) float64 { return float64(oneIf(s.OutOfMemory)) },
	},
	{
		"walnut_server_process_memory_bytes", "Bytes of memory that the process has from the system.",
		func(s *Stats) float64 { return float64(s.TotalMemory) },
	},
}
