// Package history lets clients use a few keys at the same time, and shows by porcupine that all that they saw could
// have happened in one order: commands, commands of several keys, and transactions by WATCH and EXEC.
package history
