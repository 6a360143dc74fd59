package cluster

// newestKind is the newest kind of entries that this program knows. There has been one kind so far. A program that doesn't know the kind of an
// entry can't apply it, and its node stops. So each node says with its status what it knows: a program that has a newer kind can wait, while
// a cluster is upgraded one node after the other, until all members know it. What is needed for that must be in the programs of before.
const newestKind = 1
