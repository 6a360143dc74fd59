package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

func newVersion(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version of kvctl",
		Long: `version prints the version and the revision of the source that this kvctl was
built from, and the version of Go.`,
		Example: `  kvctl version
  kvctl version -o json`,
		Args: asUsed,
		RunE: a.starts(func([]string) error {
			version := newVersionJSON(debug.ReadBuildInfo())
			if a.wantsJSON() {
				return a.printJSON(version)
			}
			_, err := fmt.Fprintln(a.stdout, version.text())
			return err
		}),
	}
}

// versionJSON is the output of version. Revision and Time are empty if the build didn't record them.
type versionJSON struct {
	Kind     string `json:"kind"`
	Version  string `json:"version"`
	Revision string `json:"revision"`
	Time     string `json:"time"`
	Modified bool   `json:"modified"` // The source had changes since the revision.
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func newVersionJSON(info *debug.BuildInfo, ok bool) versionJSON {
	version := versionJSON{Kind: kindVersion, Version: "unknown", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	if !ok {
		return version
	}
	if info.Main.Version != "" {
		version.Version = info.Main.Version
	}
	for _, setting := range info.Settings {
		switch setting.Key {
		case "vcs.revision":
			version.Revision = setting.Value
		case "vcs.time":
			version.Time = setting.Value
		case "vcs.modified":
			version.Modified = setting.Value == "true"
		}
	}
	return version
}

func (v versionJSON) text() string {
	text := "kvctl " + v.Version
	if v.Revision != "" {
		text += ", revision " + v.Revision
	}
	if v.Modified {
		text += " with changes"
	}
	return text + ", " + v.Go + " " + v.Platform
}
