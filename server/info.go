package server

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"
)

// infoSection is a part of what INFO says.
type infoSection struct {
	name  string
	extra bool // It must be asked for.
	keys  bool // It is for users of all keys.
	write func(page *infoPage, s *Server)
}

var infoSections = []infoSection{
	{name: "server", write: infoServer},
	{name: "clients", write: infoClients},
	{name: "memory", write: infoMemory},
	{name: "persistence", write: infoPersistence},
	{name: "stats", write: infoStats},
	{name: "replication", write: infoReplication},
	{name: "cpu", write: infoCPU},
	{name: "cluster", write: infoCluster},
	{name: "commandstats", extra: true, write: infoCommands},
	{name: "keyspace", keys: true, write: infoKeyspace},
}

// infoPage is the text of INFO in the making.
type infoPage struct{ strings.Builder }

func (p *infoPage) field(name string, value any) { fmt.Fprintf(p, "%s:%v\r\n", name, value) }

// info describes the server in sections.
func info(c *call) {
	asked := make([]string, 0, len(c.args))
	for _, arg := range c.args[1:] {
		asked = append(asked, strings.ToLower(string(arg)))
	}
	usual := len(asked) == 0 || slices.Contains(asked, "default")
	all := slices.Contains(asked, "all") || slices.Contains(asked, "everything")
	var page infoPage
	for _, one := range infoSections {
		if one.keys && !c.user().allKeys || !all && (!usual || one.extra) && !slices.Contains(asked, one.name) {
			continue
		}
		if page.Len() > 0 {
			page.WriteString("\r\n")
		}
		fmt.Fprintf(&page, "# %s\r\n", strings.ToUpper(one.name[:1])+one.name[1:])
		one.write(&page, c.session.server)
	}
	c.verbatim(page.String())
}

func infoServer(p *infoPage, s *Server) {
	up := time.Since(s.started)
	p.field("redis_version", redisVersion)
	p.field("redis_mode", s.mode())
	p.field("server_name", serverName)
	p.field("os", runtime.GOOS+" "+runtime.GOARCH)
	p.field("arch_bits", 32<<(^uint(0)>>63))
	p.field("go_version", runtime.Version())
	p.field("process_id", os.Getpid())
	p.field("run_id", s.runID)
	p.field("server_time_usec", time.Now().UnixMicro())
	p.field("uptime_in_seconds", int64(up.Seconds()))
	p.field("uptime_in_days", int64(up.Hours()/24))
}

func infoClients(p *infoPage, s *Server) {
	subscribed, all := 0, s.each()
	for _, session := range all {
		if session.face.isSubscribed() {
			subscribed++
		}
	}
	p.field("connected_clients", len(all))
	p.field("maxclients", s.maxClients.Load())
	p.field("pubsub_clients", subscribed)
	p.field("blocked_clients", 0)
}

func infoMemory(p *infoPage, s *Server) {
	used, resident, limit := s.memory.inUse(), totalMemory(), s.memory.limit.Load()
	p.field("used_memory", used)
	p.field("used_memory_human", humanBytes(used))
	p.field("used_memory_rss", resident)
	p.field("used_memory_rss_human", humanBytes(resident))
	p.field("used_memory_dataset", s.store.Stats().DataBytes)
	p.field("maxmemory", limit)
	p.field("maxmemory_human", humanBytes(limit))
	p.field("maxmemory_policy", "noeviction")
}

// humanBytes writes a size as Redis does.
func humanBytes(n int64) string {
	units := "BKMGT"
	size, unit := float64(n), 0
	for size >= 1024 && unit < len(units)-1 {
		size, unit = size/1024, unit+1
	}
	if unit == 0 {
		return fmt.Sprintf("%dB", n)
	}
	return fmt.Sprintf("%.2f%c", size, units[unit])
}

func infoPersistence(p *infoPage, s *Server) {
	stats := s.store.Stats()
	p.field("loading", 0)
	p.field("rdb_changes_since_last_save", stats.Visible-min(stats.Visible, stats.Checkpoints.Offset))
	p.field("rdb_bgsave_in_progress", oneIf(s.saving.Load()))
	p.field("rdb_last_save_time", s.lastSaved().Unix())
	p.field("rdb_last_bgsave_status", okIf(stats.Checkpoints.Err == nil))
	p.field("rdb_last_bgsave_time_sec", int64(stats.Checkpoints.Last.Seconds()))
	p.field("aof_enabled", 1)
	p.field("aof_last_write_status", okIf(stats.Failed == nil))
	p.field("aof_current_size", stats.DiskBytes)
	p.field("walnut_first_offset", stats.First)
	p.field("walnut_durable_offset", stats.Durable)
	p.field("walnut_visible_offset", stats.Visible)
}

func oneIf(holds bool) int {
	if holds {
		return 1
	}
	return 0
}

func okIf(holds bool) string {
	if holds {
		return "ok"
	}
	return "err"
}

func infoStats(p *infoPage, s *Server) {
	n, commands := s.counters(), uint64(0)
	for _, c := range s.commands.all() {
		commands += c.calls.Load()
	}
	p.field("total_connections_received", n.connections.Load())
	p.field("total_commands_processed", commands)
	p.field("total_net_input_bytes", n.in.Load())
	p.field("total_net_output_bytes", n.out.Load())
	p.field("rejected_connections", n.refused.Load())
	p.field("expired_keys", s.store.Stats().Swept)
	p.field("evicted_keys", 0)
	p.field("total_error_replies", n.failures.Load())
	p.field("slowlog_commands_count", n.slow.Load())
}

func infoCluster(p *infoPage, s *Server) { p.field("cluster_enabled", oneIf(s.opts.Cluster != nil)) }

func infoCPU(p *infoPage, _ *Server) {
	user, system, known := cpuTimes()
	if known {
		p.field("used_cpu_sys", fmt.Sprintf("%.6f", system.Seconds()))
		p.field("used_cpu_user", fmt.Sprintf("%.6f", user.Seconds()))
	}
}

func infoCommands(p *infoPage, s *Server) {
	for _, c := range s.commands.all() {
		if calls := c.calls.Load(); calls > 0 {
			p.field("cmdstat_"+c.name, fmt.Sprintf("calls=%d", calls))
		}
	}
}

func infoKeyspace(p *infoPage, s *Server) {
	if stats := s.store.Stats(); stats.Keys > 0 {
		p.field("db0", fmt.Sprintf("keys=%d,expires=%d,avg_ttl=0", stats.Keys, stats.Deadlines))
	}
}
