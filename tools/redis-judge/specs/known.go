package specs

import "strings"

// known are the specs that may fail, and why, by the server. The name is the end of a spec's full name.
var known = map[string]map[string]string{
	"redis-server": {
		"Commands: strings: should fail module loadex": "it wants the error of a server where modules can be loaded",
	},
	"kvctl serve": {
		"Commands: strings: should fail module loadex": "it wants the error of a server where modules can be loaded",
	},
}

// reasonFor returns why a spec may fail with a server.
func reasonFor(server, name string) (string, bool) {
	for end, reason := range known[server] {
		if strings.HasSuffix(name, end) {
			return reason, true
		}
	}
	return "", false
}
