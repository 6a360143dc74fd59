package mutants

// mutants are the mistakes. Each could be made by accident, or taken for an improvement.
var mutants = []mutant{
	{
		mistake: "no sync of a group before it is acknowledged",
		file:    "wal/store.go",
		old:     "if err := s.file.Sync(); err != nil {\n\t\ts.failed",
		new:     "if err := error(nil); err != nil {\n\t\ts.failed",
		pkg:     "./wal", test: crashTest,
	},
	{
		mistake: "no sync of a new store before it gets its name",
		file:    "wal/store.go",
		old:     "if err := s.file.Sync(); err != nil {\n\t\treturn err",
		new:     "if err := error(nil); err != nil {\n\t\treturn err",
		pkg:     "./wal", test: crashTest,
	},
	{
		mistake: "no sync of new space before frames are laid out in it",
		file:    "wal/store.go",
		old:     "if err := s.sync(); err != nil {\n\t\treturn fmt.Errorf(\"%w: %w\", ErrFailed, err)",
		new:     "if err := error(nil); err != nil {\n\t\treturn fmt.Errorf(\"%w: %w\", ErrFailed, err)",
		pkg:     "./wal", test: crashTest,
	},
	{
		mistake: "no directory sync after a rename",
		file:    "wal/files.go",
		old:     "return fsys.SyncDir(dir)",
		new:     "return nil",
		pkg:     "./wal", test: crashTest,
	},
	{
		mistake: "the checksum leaves out where the frame belongs: its offset and its position",
		file:    "wal/frame.go",
		old:     "sum := sumUint64(sumUint64(0, salt), uint64(position))\n\treturn crc32.Update(sum, castagnoli, fields[:frameHeadSize-frameLengthAt])",
		new:     "sum := crc32.Update(sumUint64(0, salt), castagnoli, fields[:frameIndexAt-frameLengthAt])\n\treturn crc32.Update(sum, castagnoli, fields[frameBackAt-frameLengthAt:frameHeadSize-frameLengthAt])",
		pkg:     "./wal", test: crashTest,
	},
	{
		mistake: "any frame after a bad one is damage, whatever its watermark",
		file:    "wal/scan.go",
		old:     "at > s.position && head.watermark(at) > s.position",
		new:     "at > s.position",
		pkg:     "./wal", test: crashTest,
	},
	{
		mistake: "no frame after a bad one is damage, whatever its watermark",
		file:    "wal/scan.go",
		old:     "at > s.position && head.watermark(at) > s.position",
		new:     "false",
		pkg:     "./wal", test: "Torn|Damage|Flip|Watermark",
	},
	{
		mistake: "bytes after a cut are not removed",
		file:    "wal/mend.go",
		old:     "if err := file.Truncate(size); err != nil {",
		new:     "if err := error(nil); err != nil {",
		pkg:     "./wal", test: crashTest,
	},
	{
		mistake: "the tail that nothing proves durable is not logged again",
		file:    "wal/mend.go",
		old:     "for at := t.proven; at < t.end; {",
		new:     "for at := t.end; at < t.end; {",
		pkg:     "./wal", test: crashTest,
	},
	{
		mistake: "a torn frame is cut before the zeros in its place are durable",
		file:    "wal/mend.go",
		old:     "return store.sync()\n}",
		new:     "return nil\n}",
		pkg:     "./wal", test: crashTest,
	},
	{
		mistake: "the oldest segments are removed before a mark says so",
		file:    "wal/truncate.go",
		old:     "if err := durable(); err != nil {\n\t\treturn err\n\t}\n\treturn l.remove(l.forgetFront(keep))",
		new:     "if err := l.remove(l.forgetFront(keep)); err != nil {\n\t\treturn err\n\t}\n\treturn durable()",
		pkg:     "./wal", test: crashTest,
	},
	{
		mistake: "the newest records are removed before a mark says so",
		file:    "wal/truncate.go",
		old:     "if err := l.writeMark(l.first.Load(), last); err != nil {",
		new:     "if err := l.settle(); err != nil {",
		pkg:     "./wal", test: crashTest,
	},
	{
		mistake: "the old segment is not settled before the next one is made",
		file:    "wal/log.go",
		old:     "func (l *Log) roll() error {\n\tif err := l.settle(); err != nil {",
		new:     "func (l *Log) roll() error {\n\tif err := l.drain(); err != nil {",
		pkg:     "./wal", test: crashTest,
	},
	{
		mistake: "segments are removed by a mark that can be read but may not be durable",
		file:    "wal/mend.go",
		old:     "\tif len(v.stores) > 0 {\n\t\tif err := l.mendTail(v)",
		new:     "\tif err := l.removeLeftovers(v.leftovers); err != nil {\n\t\treturn err\n\t}\n\tif len(v.stores) > 0 {\n\t\tif err := l.mendTail(v)",
		pkg:     "./wal", test: crashTest, args: []string{"-crash.states=1000000"},
	},
	{
		mistake: "a seal that can be read is taken for durable",
		file:    "wal/survey.go",
		old:     "if err := prev.readSeal(next); err == nil {",
		new:     "if err := prev.readSeal(next); err == nil {\n\t\t\tv.rolling = false",
		pkg:     "./wal", test: crashTest, args: []string{"-crash.states=1000000"},
	},
	{
		mistake: "a sync that succeeds after one that failed is believed",
		file:    "wal/store.go",
		old:     "if s.failed != nil {\n\t\treturn s.failed\n\t}",
		new:     "",
		pkg:     "./wal", test: "TestASyncAfterAFailedOneFails",
	},
	{
		mistake: "commits are visible before they are durable",
		file:    "kv/commit.go",
		old:     "led := db.cut()\n",
		new:     "led := db.cut()\n\tdb.visible.mu.Lock()\n\tled.show(&db.visible)\n\tdb.visible.mu.Unlock()\n",
		pkg:     "./kv", test: serialTest,
	},
	{
		mistake: "a lost update: an Update runs on what is visible, without the commits that wait for the disk",
		file:    "kv/tx.go",
		old:     "tx.state.Store(db.head())",
		new:     "tx.state.Store(db.visible.settled())",
		pkg:     "./kv", test: serialTest,
	},
	{
		mistake: "an Update doesn't see the group being synced",
		file:    "kv/commit.go",
		old:     "if db.flying != nil {",
		new:     "if false {",
		pkg:     "./kv", test: serialTest,
	},
	{
		mistake: "commits are acknowledged before readers see them",
		file:    "kv/commit.go",
		old:     "led.show(v)\n\tv.mu.Unlock()\n\tled.end(nil)",
		new:     "led.end(nil)\n\truntime.Gosched()\n\tled.show(v)\n\tv.mu.Unlock()", // Without another goroutine in between, no test could notice.
		pkg:     "./kv", test: serialTest,
	},
	{
		mistake: "a group whose sync failed becomes visible",
		file:    "kv/commit.go",
		old:     "db.failed, db.record = err, nil",
		new:     "db.failed, db.record = err, nil\n\tdb.visible.mu.Lock()\n\tled.show(&db.visible)\n\tdb.visible.mu.Unlock()",
		pkg:     "./kv", test: serialTest,
	},
	{
		mistake: "what a reader holds is changed in place",
		file:    "kv/visible.go",
		old:     "if v.shared() {",
		new:     "if false {",
		pkg:     "./kv", test: modelTest, args: modelArgs,
	},
	{
		mistake: "an iteration in an Update goes over the tree that the Update changes",
		file:    "kv/tx.go",
		old:     "if !u.owned || u.scans > 0 {",
		new:     "if !u.owned {",
		pkg:     "./kv", test: modelTest, args: modelArgs,
	},
	{
		mistake: "Sync syncs nothing",
		file:    "kv/commit.go",
		old:     "err := db.log.Sync(); err",
		new:     "err := error(nil); err",
		pkg:     "./kv", test: modelTest, args: modelArgs,
	},
	{
		mistake: "the log is truncated before the snapshot that stands for it is there",
		file:    "kv/checkpoint.go",
		old:     "\tstarted := time.Now()\n\theader := snapshot.Header",
		new:     "\tif err := db.log.TruncateFront(shown.offset + 1); err != nil {\n\t\treturn 0, err\n\t}\n\tstarted := time.Now()\n\theader := snapshot.Header",
		pkg:     "./kv", test: checkpointCrashTest,
	},
	{
		mistake: "the oldest snapshot is removed before the new one is durable and read back",
		file:    "kv/checkpoint.go",
		old:     "\tstarted := time.Now()\n\theader := snapshot.Header",
		new:     "\tif _, err := prune(db.opts, dir, db.log.ID(), db.opts.SnapshotsKept-1); err != nil {\n\t\treturn 0, err\n\t}\n\tstarted := time.Now()\n\theader := snapshot.Header",
		pkg:     "./kv", test: checkpointCrashTest,
	},
	{
		mistake: "the log is truncated up to the newest snapshot instead of the oldest kept",
		file:    "kv/checkpoint.go",
		old:     "if kept++; kept <= keep {\n\t\t\toldest = place.Offset",
		new:     "if kept++; kept <= keep {\n\t\t\toldest = places[0].Offset",
		pkg:     "./kv", test: checkpointCrashTest,
	},
	{
		mistake: "a snapshot gets its name before it is durable",
		file:    "snapshot/write.go",
		old:     "\t\terr = file.Sync()\n",
		new:     "\t\terr = nil\n",
		pkg:     "./kv", test: checkpointCrashTest,
	},
	{
		mistake: "a snapshot shows commits that a power cut can still take from the log",
		file:    "kv/checkpoint.go",
		old:     "if err := db.syncVisible(); err != nil {",
		new:     "if err := error(nil); err != nil {",
		pkg:     "./kv", test: checkpointCrashTest,
	},
	{
		mistake: "a damaged snapshot counts as one of those kept",
		file:    "kv/checkpoint.go",
		old:     "\t\t\tcontinue\n\t\t}\n\t\tif err == nil {\n\t\t\terr = file.Close()",
		new:     "\t\t\tkept++\n\t\t\toldest = place.Offset\n\t\t\tcontinue\n\t\t}\n\t\tif err == nil {\n\t\t\terr = file.Close()",
		pkg:     "./kv", test: "TestADamagedSnapshotIsNotOneOfThoseKept",
	},
	{
		mistake: "segments leave the log before their names in the archive are durable",
		file:    "wal/archive.go",
		old:     "if err := l.opts.FS.SyncDir(dir); err != nil {\n\t\treturn archiveError(",
		new:     "if err := error(nil); err != nil {\n\t\treturn archiveError(",
		pkg:     "./wal", test: crashTest,
	},
	{
		mistake: "segments leave the log before they are archived",
		file:    "wal/truncate.go",
		old:     "\tif err := l.archive(leaving); err != nil {\n\t\treturn err\n\t}\n\treturn l.dropFront(len(leaving))",
		new:     "\treturn errors.Join(l.dropFront(len(leaving)), l.archive(leaving))",
		pkg:     "./wal", test: crashTest,
	},
	{
		mistake: "a segment's copy in the archive gets its name before it is durable",
		file:    "wal/mend.go",
		old:     "return to.(vfs.File).Sync()",
		new:     "return nil",
		pkg:     "./wal", test: crashTest,
	},
	{
		mistake: "records that were withdrawn stay in the archive",
		file:    "wal/truncate.go",
		old:     "if err := l.unarchive(l.holder(last)); err != nil {",
		new:     "if err := error(nil); err != nil {",
		pkg:     "./wal", test: crashTest,
	},
}

// The tests of kv that find planted mistakes, and what makes the one that draws its runs stop soon after.
const (
	serialTest = "TestConcurrentOperationsAreSerializable"
	modelTest  = "TestRandomOperationsAgreeWithAModel"

	checkpointCrashTest = "TestCrashDuringCheckpointsLeavesAStateThatWas"
)

var modelArgs = []string{"-random.operations=200000", "-rapid.shrinktime=1s"}
