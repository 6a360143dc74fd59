package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/walnutkv/walnut/internal/admin"
)

func newClusterRecover(a *app, flags *clusterFlags) *cobra.Command {
	var members []string
	var apply bool
	cmd := &cobra.Command{
		Use:   "recover",
		Short: "Go on with what is left when most voters are lost",
		Long: `recover is the last resort: it gives the cluster other members, without the
agreement of most voters, since they are gone. Name with --members those that
are left, as NODE or NODE=ADDRESS, and ask one of them: if there are several,
the one whose log ends last, since the others refuse. Without --apply it says
what it would do, and changes nothing.

It is refused while most voters answer that node. What the lost ones alone had
is lost with them. Never start them again: remove their directories first.`,
		Example: `  kvctl cluster recover --members c
  kvctl cluster recover --members c --apply`,
		Args: asUsed,
	}
	cmd.Flags().StringSliceVar(&members, "members", nil, "the nodes that are left: NAME,… or NAME=ADDRESS,…")
	cmd.Flags().BoolVar(&apply, "apply", false, "do it")
	cmd.PreRunE = notEmpty("admin")
	cmd.RunE = a.asks(flags, func(ctx context.Context, c *admin.Client, _ []string) error {
		want := admin.Recover{Apply: apply}
		for _, text := range members {
			name, address, _ := strings.Cut(text, "=")
			want.Members = append(want.Members, admin.Member{Name: name, Address: address})
		}
		if len(want.Members) == 0 {
			return usagef("cluster recover: which nodes are left? Say --members")
		}
		r, err := c.Recover(ctx, want)
		if err != nil {
			return err
		}
		return a.printRecovery(r, flags.command("recover --members "+shellQuote(strings.Join(members, ","))+" --apply"))
	})
	return cmd
}

// printRecovery prints what is to be done, with the command that does it, or what was done.
func (a *app) printRecovery(r admin.Recovery, apply string) error {
	if r.Applied {
		a.done = "the change is done"
	}
	if a.wantsJSON() {
		return a.printJSON(r)
	}
	fmt.Fprintf(a.stdout, "members  %s\n", listed(r.Members))
	fmt.Fprintf(a.stdout, "dropped  %s\n", listed(r.Dropped))
	fmt.Fprintf(a.stdout, "kept     all that node %s has, up to entry %d\n", shown(r.Node), r.Last)
	if !r.Applied {
		fmt.Fprintf(a.stdout, "nothing was changed; to do it: %s\n", apply)
	}
	return nil
}

func listed(members []admin.Member) string {
	if len(members) == 0 {
		return "none"
	}
	var all []string
	for _, m := range members {
		all = append(all, fmt.Sprintf("%s (%s)", printable(m.Name), printable(m.Address)))
	}
	return strings.Join(all, ", ")
}
