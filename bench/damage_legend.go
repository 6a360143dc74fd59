package main

// introduction is what a reader has to know before the matrix.
const introduction = `Made by ` + "`make damage-matrix`" + `. %d pairs of a 16-byte key and %d incompressible bytes were written and acknowledged one after another,
with the safest settings that each engine documents, in a process that was then killed. Each cell is what came of a damage to a
copy of the files. A number after an outcome says how often it came: that damage was tried at %d places that the seed chose, or with each file, but with no more.
**Bold** is what goes unnoticed, or what makes it worse. No acknowledged pair is missing where none is said to be. n/a: the engine has no such files.

`

// explanation follows the list of outcomes.
const explanation = `
About the damages:

- *Torn tail*: the end of the last write is taken back, as a power cut that tears a write leaves it: the bytes are what they were
  before the write. In a file that had its space in advance they are zeros (Walnut, etcd's wal, Badger), in a file that is used once more they are old
  records (Pebble), and another one is shorter. The bytes are found by comparing the files before and after the write. For bbolt they are those of the meta page, which it writes last. That
  write was not acknowledged, so the engine has to open, with every acknowledged pair. Disks write whole sectors, and etcd's wal relies on that; Walnut
  assumes that a write tears anywhere.
- *The last acknowledged write lacks its last 7 bytes*: that write was durable, so this is damage. But just after it no engine here
  can know that, since nothing on the disk says that the sync had returned; what can be asked for is that it says so. Once Walnut's log has been
  idle for a second, a mark proves the last write durable, and then it can tell.
- *The log was cut*: the file ends 7 bytes before its data does. Where a log has its space in advance, no torn write leaves that.
- *The data's end* is that of the last write, rounded up to 8 bytes (Walnut, etcd's wal), and in bbolt's file that of the last page that isn't empty.
  Random bytes go there, zeros to the end of the file.
- *In the middle*, for flipped bits and zeroed bytes: in a pair that is in one place only, in its value, its key or the 16 bytes before that. In tables and
  snapshots it is the newest that holds the pair. The only file of bbolt and of buntdb counts as a log.
- *Another file*: one that is neither, and no lock or file of messages. It is chosen first, then a place in it.
- *A file deleted*, *each other's names*: logs and tables that hold such pairs.

After a look that opened, one more pair was written and acknowledged, that process ended without a close, and another one
looked again. What an engine says is what its logger gets that it doesn't get when the undamaged files are opened. *Own check* is
the engine's function that checks an open store, and counts where it reports something that it doesn't report of undamaged files. With one seed the same pairs are hit; salts in files, and in some
engines what the background has merged, differ from run to run.
`
