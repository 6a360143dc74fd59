package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/walnutkv/walnut/internal/admin"
	"github.com/walnutkv/walnut/internal/mutual"
)

// clusterFlags say which walnutd to ask, and for how long.
type clusterFlags struct {
	admin         string
	cert, key, ca string
	timeout       time.Duration
}

func newCluster(a *app) *cobra.Command {
	flags := &clusterFlags{}
	cmd := &cobra.Command{
		Use:   "cluster",
		Short: "Show and change a replicated store, by way of one of its nodes",
		Long: `cluster asks a walnutd, one node of a replicated store, at the address of its
admin listener. Any node will do, but for recover and restore.

An admin listener that isn't on a loopback address wants a certificate: name
one with --cert, --key and --ca, as walnutd does.

A change whose answer doesn't come within --timeout may be done all the same,
and so may one that is interrupted. The error says so: look before you try it
again.`,
		Example: `  kvctl cluster status
  kvctl cluster transfer b`,
		Args: noSuchCommand,
		RunE: whichCommand,
	}
	set := cmd.PersistentFlags()
	set.StringVar(&flags.admin, "admin", "", "the node's admin listener (default $KVCTL_ADMIN, or "+admin.DefaultAddress+")")
	set.StringVar(&flags.cert, "cert", "", "a certificate of the cluster's authority")
	set.StringVar(&flags.key, "key", "", "its private key")
	set.StringVar(&flags.ca, "ca", "", "the authority's certificates")
	set.DurationVar(&flags.timeout, "timeout", 30*time.Second, "how long to wait for the answer")
	for _, file := range []string{"cert", "key", "ca"} {
		completeFiles(cmd, file)
	}
	addTo(cmd, "", newClusterStatus(a, flags), newClusterMembers(a, flags), newClusterJoin(a, flags), newClusterTransfer(a, flags),
		newClusterRemove(a, flags), newClusterRecover(a, flags), newClusterBackup(a, flags), newClusterRestore(a, flags))
	return cmd
}

// client returns a client of the walnutd that the flags name.
func (a *app) client(flags *clusterFlags) (*admin.Client, error) {
	address := flags.admin
	if address == "" {
		address = a.getenv("KVCTL_ADMIN")
	}
	if address == "" {
		address = admin.DefaultAddress
	}
	var secure *tls.Config
	if flags.cert+flags.key+flags.ca != "" {
		if flags.cert == "" || flags.key == "" || flags.ca == "" {
			return nil, usagef("cluster: want --cert, --key and --ca together")
		}
		keys, err := mutual.Load(mutual.Files{Cert: flags.cert, Key: flags.key, Authority: flags.ca})
		if err != nil {
			return nil, fmt.Errorf("cluster: certificates: %w", err)
		}
		secure = keys.Client()
	}
	return admin.NewClient(address, secure), nil
}

// command returns a kvctl cluster command that asks the same node, ready to be pasted into a shell.
func (f *clusterFlags) command(words string) string {
	line := "kvctl cluster " + words
	for _, flag := range []struct{ name, value string }{{"admin", f.admin}, {"cert", f.cert}, {"key", f.key}, {"ca", f.ca}} {
		if flag.value != "" {
			line += " --" + flag.name + " " + shellQuote(flag.value)
		}
	}
	return line
}

// asks returns a cobra RunE that asks a walnutd, until an interrupt at most.
func (a *app) asks(flags *clusterFlags, ask func(ctx context.Context, c *admin.Client, args []string) error) func(*cobra.Command, []string) error {
	return a.starts(func(args []string) error {
		if flags.timeout <= 0 {
			return usagef("cluster: --timeout %v: want more than 0", flags.timeout)
		}
		client, err := a.client(flags)
		if err != nil {
			return err
		}
		ctx, stop := interruptible()
		defer stop()
		limited, cancel := context.WithTimeout(ctx, flags.timeout)
		defer cancel()
		err = ask(limited, client, args)
		var unanswered *admin.UnansweredError
		if errors.As(err, &unanswered) {
			return flags.mayBeDone(ctx, unanswered)
		}
		return whyEnded(ctx, explained(err))
	})
}

// explained adds to an error of a node what the flags can do about it.
func explained(err error) error {
	if errors.Is(err, admin.ErrWantsTLS) {
		return fmt.Errorf("%w; say --cert, --key and --ca", err)
	}
	return err
}

// mayBeDone says of a change that got no answer why that is, and what shows whether the change is done.
func (f *clusterFlags) mayBeDone(ctx context.Context, unanswered *admin.UnansweredError) error {
	why := fmt.Sprintf("%s: no answer came (%v)", unanswered.Address, unanswered.Err)
	switch {
	case ctx.Err() != nil:
		why = fmt.Sprintf("%v before %s answered", errInterrupted, unanswered.Address)
	case errors.Is(unanswered.Err, context.DeadlineExceeded):
		why = fmt.Sprintf("%s: no answer within %v", unanswered.Address, f.timeout)
	}
	return fmt.Errorf("%s, so it may be done; look: %s", why, f.command("status"))
}

func newClusterStatus(a *app, flags *clusterFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Show who leads, and how far each node is",
		Long: `status asks one node, which asks all members at this moment. A node lags by the
entries that any node knows to be agreed upon and that it doesn't show yet.
Nodes that have applied the same entries have the same checksum of their pairs;
where they haven't, their trouble says so.

With -o json an object of the kind "cluster" comes first, then one of the kind
"node" for each member.`,
		Example: `  kvctl cluster status
  kvctl cluster status -o json`,
		Args: asUsed,
		RunE: a.asks(flags, func(ctx context.Context, c *admin.Client, _ []string) error {
			s, err := c.Status(ctx)
			if err != nil {
				return err
			}
			return a.printClusterStatus(s)
		}),
	}
}

func (a *app) printClusterStatus(s admin.Status) error {
	if a.wantsJSON() {
		nodes := s.Nodes
		s.Nodes = nil
		if err := a.printJSON(s); err != nil {
			return err
		}
		return printJSONLines(a, nodes, func(n admin.Node) admin.Node { return n })
	}
	leader := printable(s.Leader)
	if leader == "" {
		leader = "none is known"
	}
	fmt.Fprintf(a.stdout, "cluster %s, as node %s sees it: term %d, leader %s\n", shown(s.Cluster), shown(s.Node), s.Term, leader)
	table := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "node\taddress\trole\tvoter\tterm\tcommitted\tapplied\tlag\ttrouble")
	for _, n := range s.Nodes {
		if n.Error != "" {
			fmt.Fprintf(table, "%s\t%s\tno answer\t%s\t\t\t\t\t%s\n", printable(n.Name), printable(n.Address), yesOrNo(n.Voter), printable(n.Error))
			continue
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%d\t%d\t%d\t%d\t%s\n", printable(n.Name), printable(n.Address), printable(n.Role), yesOrNo(n.Voter),
			n.Term, n.Committed, n.Applied, n.Lag, printable(n.Trouble))
	}
	return table.Flush()
}

// printable returns what a node says of itself or others, escaped where it would do more to a terminal than print.
func printable(text string) string { return string(appendEscaped(nil, []byte(text))) }

func yesOrNo(holds bool) string {
	if holds {
		return "yes"
	}
	return "no"
}

func newClusterMembers(a *app, flags *clusterFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "members",
		Short: "List the members",
		Long: `members lists the members, as far as the node that is asked knows them. A node
that is stopped stays a member until it is removed.`,
		Example: `  kvctl cluster members`,
		Args:    asUsed,
		RunE: a.asks(flags, func(ctx context.Context, c *admin.Client, _ []string) error {
			members, err := c.Members(ctx)
			if err != nil {
				return err
			}
			return a.printMembers(members)
		}),
	}
}

func (a *app) printMembers(members []admin.Member) error {
	if a.wantsJSON() {
		return printJSONLines(a, members, func(m admin.Member) admin.Member { return m })
	}
	table := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "node\taddress\tvoter\tleads")
	for _, m := range members {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", printable(m.Name), printable(m.Address), yesOrNo(m.Voter), yesOrNo(m.Leads))
	}
	return table.Flush()
}

func newClusterJoin(a *app, flags *clusterFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "join NODE ADDRESS",
		Short: "Let a new node into the cluster",
		Long: `join lets a new node in, which runs and listens at an address, and prints its
name. It is for one that was started without --join: the others ask by
themselves. The node has no vote at first, and gets it once it has caught up.
That the node is a member already is no error.

A node that has ever been in a cluster, this one or another, is refused: start
it with an empty directory.`,
		Example: `  kvctl cluster join d 127.0.0.1:7004`,
		Args:    asUsed,
		PreRunE: notEmpty("admin"),
		RunE: a.asks(flags, func(ctx context.Context, c *admin.Client, args []string) error {
			r, err := c.Join(ctx, args[0], args[1])
			if err != nil {
				return err
			}
			return a.printNode(r)
		}),
	}
}

func newClusterTransfer(a *app, flags *clusterFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "transfer [NODE]",
		Short: "Let another node lead",
		Long: `transfer lets a node lead, which must be a voter, or without a name the one that
lacks least of the others that answer. It prints which node leads then. For some
milliseconds there is no leader.`,
		Example: `  kvctl cluster transfer
  kvctl cluster transfer b`,
		Args:    asUsed,
		PreRunE: notEmpty("admin"),
		RunE: a.asks(flags, func(ctx context.Context, c *admin.Client, args []string) error {
			node := ""
			if len(args) > 0 {
				node = args[0]
			}
			r, err := c.Transfer(ctx, node)
			if err != nil {
				return err
			}
			return a.printNode(r)
		}),
	}
}

func newClusterRemove(a *app, flags *clusterFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "remove NODE",
		Short: "Take a node out of the cluster",
		Long: `remove takes a node out, which may be stopped, and prints its name. A leader
lets another node lead first. The last voter can't be removed. That the node is
no member is no error.

A node that was removed says so when it is started again, and stays out. To have
one under its name, start it with an empty directory.`,
		Example: `  kvctl cluster remove c`,
		Args:    asUsed,
		PreRunE: notEmpty("admin"),
		RunE: a.asks(flags, func(ctx context.Context, c *admin.Client, args []string) error {
			r, err := c.Remove(ctx, args[0])
			if err != nil {
				return err
			}
			return a.printNode(r)
		}),
	}
}

// printNode prints the node that a change was about.
func (a *app) printNode(r admin.Result) error {
	a.done = "the change is done"
	if a.wantsJSON() {
		return a.printJSON(r)
	}
	_, err := fmt.Fprintln(a.stdout, printable(r.Node))
	return err
}
