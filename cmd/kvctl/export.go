package main

import (
	"context"

	"github.com/spf13/cobra"
)

func newExport(a *app) *cobra.Command {
	var span viewFlags
	cmd := &cobra.Command{
		Use:   "export",
		Short: "Write every live pair as JSON lines",
		Long: `export writes the live pairs of one instant, one a line, as
{"kind":"pair","key":…,"value":…}, whatever --output says. import reads them
back byte for byte: bytes that aren't valid UTF-8 are written as "key_base64" or
"value_base64", and so is a value that would be too long otherwise. A pair that
has a deadline has it as "deadline". Damage that is met on the way ends the
lines, and the exit code is 4.`,
		Example: `  kvctl --dir store put user:1 Ada
  kvctl --dir store export > pairs.jsonl
  kvctl --dir copy import pairs.jsonl
  kvctl --dir store export --prefix user: | gzip > users.jsonl.gz`,
		Args: asUsed,
	}
	span.addTo(cmd)
	cmd.RunE = a.starts(func([]string) error {
		r, err := span.keyRange(a.enc())
		if err != nil {
			return err
		}
		return a.withView(func(ctx context.Context, v view) error {
			return writePairs(v.Scan(ctx, r), a.newPairWriter(true, false))
		})
	})
	return cmd
}
