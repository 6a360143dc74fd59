package vfs

import (
	"errors"
	"hash/maphash"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

var errInjected = errors.New("injected")

// crashes calls check with a crash state under every policy, for many seeds if the policy is random.
func crashes(t *testing.T, mem *Mem, seeds uint64, check func(after *Mem, policy Policy)) {
	t.Helper()
	for _, policy := range Policies {
		for seed := range seeds {
			check(mem.Crash(seed, policy), policy)
			if t.Failed() {
				t.Fatalf("policy %v, seed %d", policy, seed)
			}
			if !policy.Random() {
				break
			}
		}
	}
}

// outcomes returns the contents that a file had in some crash state. "-" means that it was missing.
func outcomes(t *testing.T, mem *Mem, name string, policies ...Policy) map[string]bool {
	t.Helper()
	found := map[string]bool{}
	for _, policy := range policies {
		for seed := range uint64(300) {
			found[contentOf(mem.Crash(seed, policy), name)] = true
		}
	}
	return found
}

func contentOf(mem *Mem, name string) string {
	data, err := mem.ReadFile(name)
	if err != nil {
		return "-"
	}
	return string(data)
}

// synced returns a Mem with one file whose name and content are durable, open.
func synced(t *testing.T, data string) (*Mem, File) {
	t.Helper()
	mem := NewMem()
	f := create(t, mem, "a", data)
	require.NoError(t, f.Sync())
	require.NoError(t, mem.SyncDir("/"))
	return mem, f
}

func TestWhatWasSyncedIsThereAfterEveryPowerCut(t *testing.T) {
	mem := NewMem()
	require.NoError(t, mem.MkdirAll("x/y"))
	f := create(t, mem, "x/y/a", strings.Repeat("hello", 500))
	require.NoError(t, f.Allocate(5000))
	m, err := f.Map(1000)
	require.NoError(t, err)
	copy(m.Bytes()[600:], "mapped")
	require.NoError(t, f.Sync())
	require.NoError(t, mem.SyncDir("x/y"))
	require.NoError(t, mem.Rename("x/y/a", "x/y/b"))
	require.NoError(t, mem.SyncDir("x/y"))
	want := read(t, f)
	require.Equal(t, "mapped", want[600:606])
	write(t, f, 4000, "unsynced") // After the bytes that are compared.
	create(t, mem, "x/y/c", "unsynced")
	crashes(t, mem, 1000, func(after *Mem, _ Policy) {
		data, err := after.ReadFile("x/y/b")
		require.NoError(t, err)
		require.Equal(t, want[:4000], string(data[:4000]))
		require.NotContains(t, after.Names(), "/x/y/a")
	})
}

func TestWhatWasNotSyncedMayVanishOrStay(t *testing.T) {
	mem, f := synced(t, "old")
	write(t, f, 0, "new")
	require.Equal(t, map[string]bool{"old": true}, outcomes(t, mem, "a", KeepNone, NamesOnly, LengthsOnly))
	require.Equal(t, map[string]bool{"new": true}, outcomes(t, mem, "a", KeepAll, ContentOnly))
	both := map[string]bool{"old": true, "new": true}
	require.Equal(t, both, outcomes(t, mem, "a", Reverse))
	torn := outcomes(t, mem, "a", TornTail)
	require.Equal(t, map[string]bool{"old": true, "nld": true, "ned": true, "new": true}, torn)
	sectors := outcomes(t, mem, "a", Sectors)
	require.Equal(t, map[string]bool{"old": true, "nld": true, "ned": true, "olw": true, "oew": true, "new": true}, sectors)
}

func TestABufferMayBeUsedAgainOnceItIsWritten(t *testing.T) {
	mem, f := synced(t, "")
	buffer := []byte("hello")
	_, err := f.WriteAt(buffer, 0)
	require.NoError(t, err)
	copy(buffer, "other")
	require.Equal(t, "hello", contentOf(mem.Crash(0, KeepAll), "a"))
	require.NoError(t, f.Sync())
	require.Equal(t, "hello", contentOf(mem.Crash(0, KeepNone), "a"))
}

func TestANewNameThatWasNotSyncedMayVanishWithItsSyncedContent(t *testing.T) {
	mem := NewMem()
	f := create(t, mem, "a", "hello")
	require.NoError(t, f.Sync())
	both := map[string]bool{"-": true, "hello": true}
	require.Equal(t, both, outcomes(t, mem, "a", KeepNone, KeepAll))
	for _, policy := range []Policy{TornTail, Reverse, OneLost, Sectors, Mixed} {
		require.Equal(t, both, outcomes(t, mem, "a", policy), policy)
	}
}

func TestASyncedNameOfAFileThatWasNotSyncedIsAnEmptyFile(t *testing.T) {
	mem := NewMem()
	create(t, mem, "a", "hello")
	require.NoError(t, mem.SyncDir("/"))
	require.Equal(t, map[string]bool{"": true}, outcomes(t, mem, "a", KeepNone, NamesOnly))
	require.Equal(t, map[string]bool{"\x00\x00\x00\x00\x00": true}, outcomes(t, mem, "a", LengthsOnly))
}

func TestARemovedFileMayComeBackUntilItsDirectoryIsSynced(t *testing.T) {
	mem, _ := synced(t, "hello")
	require.NoError(t, mem.Remove("a"))
	require.Equal(t, map[string]bool{"hello": true, "-": true}, outcomes(t, mem, "a", Sectors))
	require.NoError(t, mem.SyncDir("/"))
	crashes(t, mem, 50, func(after *Mem, _ Policy) { require.Empty(t, after.Names()) })
}

func TestAFileThatLivedBetweenTwoSyncsOfItsDirectoryMayBeThere(t *testing.T) {
	mem := NewMem()
	require.NoError(t, create(t, mem, "a", "hello").Sync())
	require.NoError(t, mem.Remove("a"))
	require.Equal(t, map[string]bool{"hello": true, "-": true}, outcomes(t, mem, "a", TornTail))
}

func TestARenameMayRevertAndIsAtomic(t *testing.T) {
	mem, _ := synced(t, "new")
	require.NoError(t, mem.WriteFile("b", []byte("old")))
	require.NoError(t, mem.Rename("a", "b"))
	seen := map[string]bool{}
	crashes(t, mem, 200, func(after *Mem, _ Policy) {
		seen[contentOf(after, "a")+" "+contentOf(after, "b")] = true
	})
	require.Equal(t, map[string]bool{"new old": true, "- new": true}, seen)
}

func TestNoNameOutlivesALostEarlierChangeOfTheSameName(t *testing.T) {
	mem, _ := synced(t, "first")
	require.NoError(t, mem.Rename("a", "b"))
	require.NoError(t, create(t, mem, "a", "second").Sync())
	require.NoError(t, mem.Rename("b", "c"))
	seen := map[string]bool{}
	crashes(t, mem, 500, func(after *Mem, _ Policy) {
		seen[contentOf(after, "a")+" "+contentOf(after, "b")+" "+contentOf(after, "c")] = true
	})
	require.Equal(t, map[string]bool{
		"first - -": true, "- first -": true, "second first -": true, "second - first": true, "- - first": true,
	}, seen)
}

func TestADirectoryThatWasNotSyncedVanishesWithEverythingInIt(t *testing.T) {
	mem := NewMem()
	require.NoError(t, mem.mkdir("x"))
	require.NoError(t, create(t, mem, "x/a", "hello").Sync())
	require.NoError(t, mem.SyncDir("x"))
	require.Empty(t, mem.Crash(0, KeepNone).Names())
	require.NoError(t, mem.MkdirAll("x"), "made by a process that died before the sync")
	crashes(t, mem, 50, func(after *Mem, _ Policy) { require.Equal(t, "hello", contentOf(after, "x/a")) })
}

func TestLaterWritesMaySurviveWithoutEarlierOnes(t *testing.T) {
	mem, f := synced(t, "")
	write(t, f, 0, "one")
	write(t, f, 3, "two")
	for _, policy := range []Policy{Reverse, OneLost, Sectors, Mixed} {
		found := outcomes(t, mem, "a", policy)
		require.True(t, found["\x00\x00\x00two"], "%v: %q", policy, found)
		require.True(t, found["onetwo"], policy)
	}
}

func TestATornTailIsAPrefixInTheOrderOfTheChanges(t *testing.T) {
	mem := NewMem()
	a, b := create(t, mem, "a", ""), create(t, mem, "b", "")
	require.NoError(t, mem.SyncDir("/"))
	write(t, a, 0, "11")
	write(t, b, 0, "22")
	require.NoError(t, mem.Rename("a", "c"))
	write(t, a, 2, "33")
	seen := map[string]bool{}
	for seed := range uint64(500) {
		after := mem.Crash(seed, TornTail)
		seen[contentOf(after, "a")+","+contentOf(after, "b")+","+contentOf(after, "c")] = true
	}
	require.Equal(t, map[string]bool{
		",,-": true, "1,,-": true, "11,,-": true, "11,2,-": true, "11,22,-": true,
		"-,22,11": true, "-,22,113": true, "-,22,1133": true,
	}, seen)
}

func TestEachSectorIsKeptOrLostByItselfAndIsAlignedInTheFile(t *testing.T) {
	mem, f := synced(t, strings.Repeat("-", 2000))
	write(t, f, 300, strings.Repeat("x", 1000))
	seen := map[string]bool{}
	sectors := [3]map[string]bool{{}, {}, {}}
	for seed := range uint64(1000) {
		data := contentOf(mem.Crash(seed, Sectors), "a")
		require.Equal(t, strings.Repeat("-", 300), data[:300])
		require.Equal(t, strings.Repeat("-", 700), data[1300:])
		for i, sector := range []string{data[300:512], data[512:1024], data[1024:1300]} {
			require.LessOrEqual(t, strings.Count(sector, "-x")+strings.Count(sector, "x-"), 1, "torn once at most")
			sectors[i][sector[:1]+sector[len(sector)-1:]] = true
		}
		seen[data[300:301]+data[512:513]+data[1024:1025]] = true
	}
	require.Len(t, seen, 8, "any subset")
	for _, forms := range sectors {
		require.Len(t, forms, 4, "lost, kept, only its start, only its end: %v", forms)
	}
}

func TestAFileMayHaveGrownForBytesThatDidNotArrive(t *testing.T) {
	mem, f := synced(t, "old")
	write(t, f, 3, "new")
	require.True(t, outcomes(t, mem, "a", Sectors)["old\x00\x00\x00"])
	require.NoError(t, f.Sync())
	require.NoError(t, f.Allocate(9))
	found := outcomes(t, mem, "a", Sectors)
	for _, length := range []string{"", "\x00", "\x00\x00", "\x00\x00\x00"} {
		require.True(t, found["oldnew"+length], "%q", length)
	}
	require.Len(t, found, 4)
}

func TestAnInterruptedWriteMayDamageDurableNeighboursIfThatIsAssumed(t *testing.T) {
	const sector = 4096
	durable := strings.Repeat("-", 3*sector)
	mem, f := synced(t, durable)
	write(t, f, sector+1000, strings.Repeat("x", 50))
	damaged := func(disk *Mem, policy Policy) (damaged int) {
		for seed := range uint64(300) {
			data := contentOf(disk.Crash(seed, policy), "a")
			require.Equal(t, durable[:sector], data[:sector], "no other sector is damaged")
			require.Equal(t, durable[2*sector:], data[2*sector:], "no other sector is damaged")
			if data[sector:sector+1000] != durable[:1000] || data[sector+1050:2*sector] != durable[:sector-1050] {
				damaged++
			}
		}
		return damaged
	}
	for _, policy := range Policies {
		require.Zero(t, damaged(mem, policy), "off by default: %v", policy)
	}
	mem.SetTornNeighbours(sector)
	for _, disk := range []*Mem{mem, mem.Clone(), mem.Exit()} {
		for _, policy := range []Policy{TornTail, OneLost, Sectors, Mixed} {
			require.Positive(t, damaged(disk, policy), policy)
		}
		for _, policy := range []Policy{KeepNone, KeepAll, NamesOnly, ContentOnly, LengthsOnly, Reverse} {
			require.Zero(t, damaged(disk, policy), policy)
		}
	}
	require.NoError(t, f.Sync())
	for _, policy := range Policies {
		require.Zero(t, damaged(mem, policy), "a synced write isn't interrupted: %v", policy)
	}
	mem.SetTornNeighbours(0)
	write(t, f, sector+1000, "y")
	require.Zero(t, damaged(mem, Sectors), "switched off")
}

func TestAllocateIsAWriteThatMayDamageItsNeighbours(t *testing.T) {
	mem, f := synced(t, "durable")
	mem.SetTornNeighbours(512)
	require.NoError(t, f.Allocate(1000))
	damaged := false
	for seed := range uint64(300) {
		damaged = damaged || contentOf(mem.Crash(seed, Sectors), "a")[:7] != "durable"
	}
	require.True(t, damaged)
}

func TestATruncateMayRevertAndIsAtomic(t *testing.T) {
	mem, f := synced(t, "hello")
	require.NoError(t, f.Truncate(2))
	require.Equal(t, map[string]bool{"hello": true, "he": true}, outcomes(t, mem, "a", TornTail, Sectors))
	write(t, f, 2, "n")
	require.True(t, outcomes(t, mem, "a", Reverse)["henlo"], "the write without the truncate before it")
}

func TestAllocatedSpaceReadsAsZerosOnceSyncedWhateverWasThereBefore(t *testing.T) {
	mem, f := synced(t, "hello")
	require.NoError(t, f.Truncate(1))
	failSync(t, mem, f)
	require.NoError(t, f.Allocate(4))
	require.NoError(t, f.Sync())
	require.Equal(t, "h\x00\x00\x00o", contentOf(mem.Crash(0, KeepNone), "a"), "the failed truncate's last byte stays")
}

// failSync makes one Sync of f fail.
func failSync(t *testing.T, mem *Mem, f File) {
	t.Helper()
	mem.SetHook(FailNth(OpSync, 1, errInjected))
	require.ErrorIs(t, f.Sync(), errInjected)
	mem.SetHook(nil)
}

func TestAFailedSyncDropsWhatWasPendingForGood(t *testing.T) {
	mem, f := synced(t, "old content")
	write(t, f, 0, "new")
	failSync(t, mem, f)
	require.Equal(t, "new content", read(t, f), "reads go on showing it")
	require.NoError(t, f.Sync())
	write(t, f, 4, "CONTENT")
	require.NoError(t, f.Sync())
	require.Equal(t, "new CONTENT", read(t, f))
	crashes(t, mem, 50, func(after *Mem, _ Policy) { require.Equal(t, "old CONTENT", contentOf(after, "a")) })

	write(t, f, 0, "new")
	require.NoError(t, f.Sync(), "the same bytes written again are pending again")
	crashes(t, mem, 50, func(after *Mem, _ Policy) { require.Equal(t, "new CONTENT", contentOf(after, "a")) })
}

func TestAFailedSyncDropsALengthToo(t *testing.T) {
	mem, f := synced(t, "ab")
	write(t, f, 2, "cd")
	failSync(t, mem, f)
	write(t, f, 4, "ef")
	require.NoError(t, f.Sync())
	require.Equal(t, "abcdef", read(t, f))
	require.Equal(t, "ab\x00\x00ef", contentOf(mem.Crash(0, KeepAll), "a"))
}

func TestAFailedSyncDropsMappedStores(t *testing.T) {
	mem, f := synced(t, "hello")
	m, err := f.Map(5)
	require.NoError(t, err)
	m.Bytes()[0] = 'j'
	failSync(t, mem, f)
	require.NoError(t, f.Sync())
	require.Equal(t, "jello", read(t, f))
	crashes(t, mem, 50, func(after *Mem, _ Policy) { require.Equal(t, "hello", contentOf(after, "a")) })
}

func TestAFailedSyncOfADirectoryLeavesItsNamesPending(t *testing.T) {
	mem := NewMem()
	require.NoError(t, create(t, mem, "a", "hello").Sync())
	mem.SetHook(FailNth(OpSyncDir, 1, errInjected))
	require.ErrorIs(t, mem.SyncDir("/"), errInjected)
	require.Equal(t, map[string]bool{"-": true, "hello": true}, outcomes(t, mem, "a", Sectors))
	require.NoError(t, mem.SyncDir("/"))
	require.Equal(t, map[string]bool{"hello": true}, outcomes(t, mem, "a", Policies...))
}

func TestMappedStoresArePendingWrites(t *testing.T) {
	mem, f := synced(t, strings.Repeat("-", 1024))
	m, err := f.Map(1024)
	require.NoError(t, err)
	m.Bytes()[0], m.Bytes()[1023] = 'a', 'b'
	seen := map[string]bool{}
	for _, policy := range Policies {
		for seed := range uint64(100) {
			data := contentOf(mem.Crash(seed, policy), "a")
			require.Equal(t, strings.Repeat("-", 1022), data[1:1023])
			seen[data[:1]+data[1023:]] = true
		}
	}
	require.Equal(t, map[string]bool{"--": true, "a-": true, "-b": true, "ab": true}, seen)
	require.NoError(t, f.Sync())
	data := contentOf(mem.Crash(0, KeepNone), "a")
	require.Equal(t, "ab", data[:1]+data[1023:])
}

func TestStoresAreNotLostIfMappingsOverlapAWriteOrATruncate(t *testing.T) {
	mem, f := synced(t, strings.Repeat("-", 8))
	m, err := f.Map(8)
	require.NoError(t, err)
	m.Bytes()[0] = 'a'
	write(t, f, 4, "xx")
	m.Bytes()[5] = 'b'
	require.NoError(t, f.Truncate(6))
	require.NoError(t, f.Truncate(8))
	require.Equal(t, "a---xb\x00\x00", read(t, f))
	require.Equal(t, "a---xb\x00\x00", string(m.Bytes()))
	m.Bytes()[7] = 'c'
	require.NoError(t, m.Close())
	require.Equal(t, "a---xb\x00c", contentOf(mem.Crash(0, KeepAll), "a"))
	require.Empty(t, f.(*memHandle).file.views, "memory without a mapping is released")
}

func TestExitKeepsThePageCacheButAPowerCutCanStillTakeIt(t *testing.T) {
	mem, f := synced(t, "old")
	write(t, f, 0, "new")
	create(t, mem, "b", "unsynced")
	lock, err := mem.Lock("LOCK")
	require.NoError(t, err)
	m, err := f.Map(3)
	require.NoError(t, err)
	m.Bytes()[2] = 't'

	next := mem.Exit()
	require.Equal(t, []string{"/LOCK", "/a", "/b"}, next.Names())
	require.Equal(t, "net", contentOf(next, "a"))
	held, err := next.Lock("LOCK")
	require.NoError(t, err, "locks are released")
	require.NoError(t, held.Close())
	require.Equal(t, []string{"/a"}, next.Crash(0, KeepNone).Names())
	require.Equal(t, "old", contentOf(next.Crash(0, KeepNone), "a"))
	require.Equal(t, "net", contentOf(next.Crash(0, KeepAll), "a"))
	require.True(t, outcomes(t, next, "a", Sectors)["net"])

	g := open(t, next, "a")
	require.NoError(t, g.Sync())
	require.Equal(t, "net", contentOf(next.Crash(0, KeepNone), "a"), "the next process can still sync it")
	require.Equal(t, "old", contentOf(mem.Crash(0, KeepNone), "a"), "but not for the receiver")
	require.NoError(t, lock.Close())
}

func TestExitAfterAFailedSyncShowsWhatIsOnNoDisk(t *testing.T) {
	mem, f := synced(t, "old")
	write(t, f, 0, "new")
	failSync(t, mem, f)
	next := mem.Exit()
	g := open(t, next, "a")
	require.Equal(t, "new", read(t, g))
	require.NoError(t, g.Sync())
	require.Equal(t, "old", contentOf(next.Crash(0, KeepAll), "a"))
	write(t, g, 0, "new")
	require.NoError(t, g.Sync())
	require.Equal(t, "new", contentOf(next.Crash(0, KeepNone), "a"))
}

func TestStatesAreIndependentOfOneAnother(t *testing.T) {
	mem, f := synced(t, "hello")
	write(t, f, 5, ", world")
	states := []*Mem{mem, mem.Crash(0, KeepAll), mem.Crash(0, KeepAll), mem.Clone(), mem.Exit()}
	for i, one := range states {
		g := open(t, one, "a")
		write(t, g, 0, string(rune('0'+i)))
		require.NoError(t, g.Sync())
		require.NoError(t, one.Remove("a"))
		require.NoError(t, create(t, one, "b", "").Sync())
		require.Equal(t, string(rune('0'+i))+"ello, world", read(t, g))
		for _, other := range states[i+1:] {
			require.Equal(t, []string{"/a"}, other.Names())
			require.Equal(t, "hello, world", contentOf(other, "a"))
			require.NotContains(t, contentOf(other.Crash(0, KeepNone), "a"), string(rune('0'+i)))
		}
	}
}

func TestEverythingInACrashStateIsDurable(t *testing.T) {
	mem, f := synced(t, "hello")
	write(t, f, 0, "J")
	create(t, mem, "b", "new")
	after := mem.Crash(7, KeepAll)
	crashes(t, after, 20, func(again *Mem, _ Policy) {
		require.Equal(t, []string{"/a", "/b"}, again.Names())
		require.Equal(t, "Jello", contentOf(again, "a"))
		require.Equal(t, "new", contentOf(again, "b"))
	})
}

func TestACrashDoesNotChangeTheReceiver(t *testing.T) {
	mem, f := synced(t, "old")
	write(t, f, 0, "new")
	m, err := f.Map(3)
	require.NoError(t, err)
	m.Bytes()[0] = 'N'
	crashes(t, mem, 20, func(after *Mem, _ Policy) {
		g := open(t, after, "a")
		write(t, g, 0, "xxx")
		require.NoError(t, g.Sync())
	})
	require.Equal(t, "New", read(t, f))
	require.Equal(t, "old", contentOf(mem.Crash(0, KeepNone), "a"))
	require.Equal(t, "New", string(m.Bytes()))
}

func TestALinkMayVanishUntilItsOwnDirectoryIsSynced(t *testing.T) {
	mem, _ := synced(t, "hello")
	require.NoError(t, mem.MkdirAll("x"))
	require.NoError(t, mem.Link("a", "x/b"))
	require.NoError(t, mem.SyncDir("/"))
	both := map[string]bool{"-": true, "hello": true}
	for _, policy := range []Policy{TornTail, Reverse, OneLost, Sectors, Mixed} {
		require.Equal(t, both, outcomes(t, mem, "x/b", policy), policy)
	}
	require.Equal(t, map[string]bool{"-": true}, outcomes(t, mem, "x/b", KeepNone, ContentOnly))
	require.NoError(t, mem.Remove("a"))
	require.NoError(t, mem.SyncDir("/"))
	require.True(t, outcomes(t, mem, "x/b", KeepNone)["-"], "both names are lost")
	require.NoError(t, mem.SyncDir("x"))
	crashes(t, mem, 50, func(after *Mem, _ Policy) {
		require.Equal(t, []string{"/x/b"}, after.Names())
		require.Equal(t, "hello", contentOf(after, "x/b"))
	})
}

func TestTwoNamesStandForTheSameBytesAfterEveryPowerCut(t *testing.T) {
	mem, f := synced(t, strings.Repeat("-", 2000))
	require.NoError(t, mem.Link("a", "b"))
	require.NoError(t, mem.SyncDir("/"))
	write(t, f, 0, strings.Repeat("x", 2000))
	write(t, open(t, mem, "b"), 500, strings.Repeat("y", 1000))
	seen := map[string]bool{}
	crashes(t, mem, 100, func(after *Mem, _ Policy) {
		require.Equal(t, contentOf(after, "a"), contentOf(after, "b"))
		seen[contentOf(after, "b")] = true
		write(t, open(t, after, "a"), 0, "later")
		require.Equal(t, "later", contentOf(after, "b")[:5], "they still are one file")
	})
	require.Greater(t, len(seen), 20)
	require.NoError(t, open(t, mem, "b").Sync())
	crashes(t, mem, 20, func(after *Mem, _ Policy) {
		require.Equal(t, strings.Repeat("y", 1000), contentOf(after, "a")[500:1500], "a sync by one name is one by the other")
	})
	for _, next := range []*Mem{mem.Clone(), mem.Exit()} {
		write(t, open(t, next, "b"), 0, "later")
		require.Equal(t, "later", contentOf(next, "a")[:5])
	}
}

// TestAFailedSyncIsReportedToEveryHandleOnce, as Linux does: a reader that syncs a writer's file takes no error away from it.
func TestAFailedSyncIsReportedToEveryHandleOnce(t *testing.T) {
	mem := NewMem()
	writer, err := mem.Create("/f")
	require.NoError(t, err)
	reader, err := mem.OpenRead("/f")
	require.NoError(t, err)
	_, err = writer.WriteAt([]byte("lost"), 0)
	require.NoError(t, err)
	mem.SetHook(func(c Call) error {
		if c.Op == OpSync {
			return syscall.EIO
		}
		return nil
	})
	require.ErrorIs(t, reader.Sync(), syscall.EIO)
	mem.SetHook(nil)
	require.NoError(t, reader.Sync(), "it has reported the failure")
	require.ErrorIs(t, writer.Sync(), syscall.EIO)
	require.NoError(t, writer.Sync())
	later, err := mem.Open("/f")
	require.NoError(t, err)
	require.NoError(t, later.Sync())
}

func TestADigestTellsWhatAPowerCutCouldLeaveApart(t *testing.T) {
	var h maphash.Hash
	digest := func(mem *Mem) uint64 {
		h.Reset()
		mem.Digest(&h)
		return h.Sum64()
	}
	mem, f := synced(t, "durable")
	before := digest(mem)
	require.Equal(t, before, digest(mem.Clone()))
	require.Equal(t, before, digest(mem.Crash(1, Sectors)), "nothing is pending")

	_, err := f.WriteAt([]byte("written"), 0)
	require.NoError(t, err)
	written := digest(mem)
	require.Equal(t, before, digest(mem.Crash(1, KeepNone)))
	kept := digest(mem.Crash(1, KeepAll))
	require.NotContains(t, []uint64{before, written}, kept, "what is written, durable or not")
	require.NoError(t, f.Sync())
	require.Equal(t, kept, digest(mem))

	require.NoError(t, mem.Rename("a", "b"))
	require.NotContains(t, []uint64{kept, digest(mem.Crash(1, NamesOnly))}, digest(mem), "a name that isn't durable")
}
