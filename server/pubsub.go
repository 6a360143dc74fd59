package server

import (
	"fmt"

	"github.com/walnutkv/walnut/kv"
)

// pubsubCommands are about messages from client to client, and from the store.
var pubsubCommands = []command{
	{name: "subscribe", arity: -2, class: onSession, run: subscribe, always: subscribed, connects: true},
	{name: "psubscribe", arity: -2, class: onSession, run: subscribe, always: subscribed, connects: true},
	{name: "unsubscribe", arity: -1, class: onSession, run: unsubscribe, always: subscribed, connects: true},
	{name: "punsubscribe", arity: -1, class: onSession, run: unsubscribe, always: subscribed, connects: true},
	{name: "publish", arity: 3, class: onSession, run: publish},
	{name: "pubsub", arity: -2, class: anywhere, under: []command{
		{name: "pubsub|channels", arity: -2, class: onSession, run: listChannels}, // It may take long.
		{name: "pubsub|numsub", arity: -2, class: anywhere, run: countListeners},
		{name: "pubsub|numpat", arity: 2, class: anywhere, run: countPatterns},
		{name: "pubsub|help", arity: 2, class: anywhere, always: confined, run: helpOf("pubsub",
			"CHANNELS [<pattern>]", "    Return the currently active channels matching a <pattern> (default: '*').",
			"NUMPAT", "    Return number of subscriptions to patterns.",
			"NUMSUB [<channel> ...]", "    Return the number of subscribers for the specified channels, excluding",
			"    pattern subscriptions(default: no channels).")},
	}},
}

// namesPatterns reports whether a command's arguments are patterns rather than channels.
func (c *command) namesPatterns() bool { return c.name[0] == 'p' }

// subscribe answers for each of its arguments.
func subscribe(c *call) {
	s := c.session
	if problem := c.topicsProblem(); problem != "" {
		c.fail(problem)
		return
	}
	bytes, had := 0, s.topicsHeld.bytes
	held := had
	for _, name := range c.args[1:] {
		bytes += len(name) + topicReply
		if to := (topic{string(name), c.command.namesPatterns()}); !s.listens(to) {
			held += to.held()
		}
	}
	if !c.hasRoom(bytes) {
		return // One that is answered with an error has joined nothing.
	}
	if !s.topicsHeld.hold(held) {
		c.fail(crowdedError{}.Error())
		return
	}
	m := s.expectMessages()
	for _, name := range c.args[1:] {
		if to := (topic{string(name), c.command.namesPatterns()}); !s.listens(to) {
			if s.topics == nil {
				s.topics = make(map[topic]struct{})
			}
			s.topics[to] = struct{}{}
			s.server.joinTopic(to, m)
			had += to.held()
		}
		c.push(3)
		c.text(c.command.name)
		c.bulk(name)
		c.integer(int64(len(s.topics)))
	}
	s.topicsHeld.hold(had) // One that is named twice counts once.
	c.confirm()
}

// listens reports whether the session listens to a topic.
func (s *session) listens(to topic) bool {
	_, found := s.topics[to]
	return found
}

// confirm makes messages of the replies to a subscription, which a client gets that wants no replies. Within EXEC they are a part of a reply.
func (c *call) confirm() {
	if !c.session.executing {
		c.keep()
	}
}

// topicMax is how many bytes the name of a topic has at most: those of the events of the longest key. Patterns take time in proportion to it.
const topicMax = len(keyspaceChannel) + kv.MaxKeySize

var errTopicTooLong = fmt.Sprintf("ERR the channel or pattern is longer than %d bytes", topicMax)

// topicsProblem returns why a client can't listen to what the arguments name, an empty text where it can.
func (c *call) topicsProblem() string {
	for _, name := range c.args[1:] {
		if len(name) > topicMax {
			return errTopicTooLong
		}
		if !c.command.namesPatterns() {
			continue
		}
		g := newGlob(name)
		if problem := g.problem(); problem != "" {
			return problem
		}
	}
	return ""
}

// topicReply is how many bytes the answer for a topic has at most besides the name.
const topicReply = 64

// unsubscribe answers for each of its arguments or, without any, for each topic of its kind.
func unsubscribe(c *call) {
	s := c.session
	topics := s.topicsOf(c)
	bytes := 0
	for _, from := range topics {
		bytes += len(from.name) + topicReply
	}
	if !c.hasRoom(bytes) {
		return
	}
	left := make([]int, len(topics)) // How many topics there are after each of them, which may be named twice.
	for i, from := range topics {
		if s.listens(from) {
			s.server.leaveTopic(from, s.messages)
			delete(s.topics, from)
			s.topicsHeld.hold(s.topicsHeld.bytes - from.held())
		}
		left[i] = len(s.topics)
	}
	s.settleMessages()
	for i, from := range topics {
		c.push(3)
		c.text(c.command.name)
		c.text(from.name)
		c.integer(int64(left[i]))
	}
	if len(topics) == 0 {
		c.push(3)
		c.text(c.command.name)
		c.null()
		c.integer(int64(len(s.topics)))
	}
	c.confirm()
}

// topicsOf returns the topics that an UNSUBSCRIBE or PUNSUBSCRIBE is about.
func (s *session) topicsOf(c *call) (topics []topic) {
	for _, name := range c.args[1:] {
		topics = append(topics, topic{string(name), c.command.namesPatterns()})
	}
	if len(c.args) > 1 {
		return topics
	}
	for t := range s.topics {
		if t.isPattern == c.command.namesPatterns() {
			topics = append(topics, t)
		}
	}
	return topics
}

// publish sends a message to the clients that listen to a channel. In EXEC it is sent once the commit is acknowledged.
func publish(c *call) {
	s := c.session
	if len(c.args[1]) > topicMax {
		c.fail(errTopicTooLong)
		return
	}
	if s.executing {
		s.publications = append(s.publications, publication{c.args[1], c.args[2]})
		c.integer(int64(s.server.topics.receivers(c.args[1])))
		return
	}
	c.integer(int64(s.server.topics.publish(c.args[1], c.args[2])))
}

// publication is a message that waits for a commit.
type publication struct{ channel, message []byte }

// publishAll sends the messages of a transaction.
func (s *session) publishAll() {
	for _, p := range s.publications {
		s.server.topics.publish(p.channel, p.message)
	}
	s.publications = nil
}

func listChannels(c *call) {
	pattern := []byte("*")
	switch {
	case len(c.args) > 3:
		c.fail(fmt.Sprintf("ERR unknown subcommand or wrong number of arguments for '%s'. Try PUBSUB HELP.", c.args[1]))
		return
	case len(c.args) == 3:
		pattern = c.args[2]
	}
	g := newGlob(pattern)
	if problem := g.problem(); problem != "" {
		c.fail(problem)
		return
	}
	var names []string
	for _, name := range c.session.server.topics.names() {
		if !c.goesOn() {
			return
		}
		if matchGlob(pattern, []byte(name)) {
			names = append(names, name)
		}
	}
	c.array(len(names))
	for _, name := range names {
		c.text(name)
	}
}

func countListeners(c *call) {
	channels := c.args[2:]
	c.array(2 * len(channels))
	for _, channel := range channels {
		c.bulk(channel)
		c.integer(int64(c.session.server.topics.listening(channel)))
	}
}

func countPatterns(c *call) { c.integer(int64(c.session.server.topics.patternCount())) }

// forgetTopics ends what the session listens to.
func (s *session) forgetTopics() {
	for from := range s.topics {
		s.server.leaveTopic(from, s.messages)
	}
	s.topics = nil
	s.topicsHeld.hold(0)
}
