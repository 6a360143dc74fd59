// Package kernel has only tests: of what Walnut does where the operating system itself is what fails. They mount small disks,
// make them full, read-only or lose power, limit memory, the sizes of files and permissions, and kill processes. All of them
// run on Linux. A test skips itself where the machine doesn't allow what it needs, and says what that is. docs/testing.md has
// which those are.
package kernel
