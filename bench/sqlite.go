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

func openSqlite(dir string, _ Settings) (Store, error) {
	db, err := sql.Open("sqlite", fmt.Sprintf(sqliteName, filepath.Join(dir, "sqlite.db")))
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	_, schemaErr := db.Exec(`CREATE TABLE IF NOT EXISTS pairs (key BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID`)
	put, putErr := db.Prepare(`INSERT INTO pairs VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value`)
	get, getErr := db.Prepare(`SELECT value FROM pairs WHERE key = ?`)
	return &sqliteStore{db: db, put: put, get: get}, errors.Join(schemaErr, putErr, getErr)
}

func (s *sqliteStore) Put(key, value []byte) error {
	_, err := s.put.Exec(key, value)
	return err
}

func (s *sqliteStore) Get(key []byte, use func(value []byte)) error {
	var value []byte
	err := s.get.QueryRow(key).Scan(&value)
	if err == nil {
		use(value)
	}
	return notFound(err, sql.ErrNoRows)
}

func (s *sqliteStore) Close() error { return s.db.Close() }
