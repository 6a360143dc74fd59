package specs

import "strings"

// known are the specs that may fail, and why, by the server. The name is the end of a spec's full name.
var known = map[string]map[string]string{
	"redis-server": {
		"Commands: strings: should fail module loadex": noModules,
	},
	"kvctl serve": {
		"Commands: strings: should fail module loadex":                           noModules,
		"Commands: keys: should Migrate":                                         "the server connects to no other",
		"Commands: keys: should Move":                                            "there is one database",
		"Commands: keys: should Object":                                          "it wants LFU, and nothing is evicted",
		"Commands: keys: should PExpireAt beyond the nanosecond timestamp range": "the last deadline is in the year 2262",
		"Commands: keys: should Sort":                                            onlyStrings,
		"Commands: keys: should Sort RO":                                         onlyStrings,
		"Commands: keys: should Sort and Get":                                    onlyStrings,
		"Commands: keys: should Sort and Store":                                  onlyStrings,
		"Commands: scanning: should HScan":                                       onlyStrings,
		"Commands: scanning: should SScan":                                       onlyStrings,
		"Commands: scanning: should ZScan":                                       onlyStrings,
	},
}

// Reasons that several specs share.
const (
	noModules   = "it wants the error of a server where modules can be loaded"
	onlyStrings = "every value is a string: there are no lists, hashes, sets and sorted sets"
)

// reasonFor returns why a spec may fail with a server.
func reasonFor(server, name string) (string, bool) {
	for end, reason := range known[server] {
		if strings.HasSuffix(name, end) {
			return reason, true
		}
	}
	return "", false
}
