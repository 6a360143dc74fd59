//go:build !fewpeers

package main

import (
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"

	_ "modernc.org/sqlite"
)

var sqlitePeer = Peer{Name: "sqlite", Module: "modernc.org/sqlite", OpenStore: openSqlite, Only: "W1"}

// sqliteStore has one connection, since SQLite has one writer at a time.
type sqliteStore struct {
	unsupported
	db       *sql.DB
	put, get *sql.Stmt
}

// sqliteName opens in WAL mode, where FULL syncs each commit.
const sqliteName = "file:%s?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)" +
	"&_pragma=cache_size(-1048576)&_pragma=mmap_size(1073741824)&_pragma=wal_autocheckpoint(10000)"

func openSqlite(dir string, _ Settings) Store {
	db, err := sql.Open("sqlite", fmt.Sprintf(sqliteName, filepath.Join(dir, "sqlite.db")))
	check(err)
	db.SetMaxOpenConns(1)
	_, err = db.Exec(`CREATE TABLE IF NOT EXISTS pairs (key BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID`)
	check(err)
	put, err := db.Prepare(`INSERT INTO pairs VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value`)
	check(err)
	get, err := db.Prepare(`SELECT value FROM pairs WHERE key = ?`)
	check(err)
	return sqliteStore{db: db, put: put, get: get}
}

func (s sqliteStore) Put(key, value []byte) {
	_, err := s.put.Exec(key, value)
	check(err)
}

func (s sqliteStore) Get(key []byte, use func(value []byte)) bool {
	var value []byte
	err := s.get.QueryRow(key).Scan(&value)
	if errors.Is(err, sql.ErrNoRows) {
		return false
	}
	check(err)
	use(value)
	return true
}

func (s sqliteStore) Close() { check(s.db.Close()) }
