//go:build !fewpeers

package main

import (
	"database/sql"
	"errors"
	"net/url"
	"path/filepath"

	_ "modernc.org/sqlite"
)

var sqlitePeer = Peer{Name: "sqlite", Module: "modernc.org/sqlite", OpenStore: openSqlite, Pages: true}

const (
	sqliteSchema = `CREATE TABLE IF NOT EXISTS pairs (key BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID`
	sqlitePut    = `INSERT INTO pairs VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value`
	sqliteGet    = `SELECT value FROM pairs WHERE key = ?`
	sqliteScan   = `SELECT key, value FROM pairs WHERE key >= ? ORDER BY key LIMIT ?`
)

// sqliteStore has one connection that writes, since SQLite has one writer at a time, and as many as are asked for that
// read beside it.
type sqliteStore struct {
	writer, reader        *sql.DB
	put, old, get, ranged *sql.Stmt
}

// sqliteName opens in WAL mode. There FULL syncs each commit, and NORMAL only the checkpoints, so that a power cut can
// take commits but not damage the file.
func sqliteName(dir string, mode Mode) string {
	synchronous := "synchronous(NORMAL)"
	if mode == Durable {
		synchronous = "synchronous(FULL)"
	}
	parameters := url.Values{
		"_txlock": {"immediate"},
		"_pragma": {
			"busy_timeout(10000)", "journal_mode(WAL)", synchronous,
			"cache_size(-1048576)", "mmap_size(1073741824)", "wal_autocheckpoint(10000)",
		},
	}
	return "file:" + filepath.Join(dir, "sqlite.db") + "?" + parameters.Encode()
}

func openSqlite(dir string, settings Settings) (Store, error) {
	s := &sqliteStore{}
	if err := s.open(sqliteName(dir, settings.Mode)); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *sqliteStore) open(name string) (err error) {
	if s.writer, err = sql.Open("sqlite", name); err != nil {
		return err
	}
	s.writer.SetMaxOpenConns(1)
	if _, err = s.writer.Exec(sqliteSchema); err != nil {
		return err
	}
	if s.reader, err = sql.Open("sqlite", name); err != nil {
		return err
	}
	s.reader.SetMaxIdleConns(256) // Opening one costs more than a thousand gets.
	for _, prepared := range []struct {
		statement **sql.Stmt
		db        *sql.DB
		text      string
	}{
		{&s.put, s.writer, sqlitePut},
		{&s.old, s.writer, sqliteGet},
		{&s.get, s.reader, sqliteGet},
		{&s.ranged, s.reader, sqliteScan},
	} {
		if *prepared.statement, err = prepared.db.Prepare(prepared.text); err != nil {
			return err
		}
	}
	return nil
}

func (s *sqliteStore) Put(key, value []byte) error {
	_, err := s.put.Exec(key, value)
	return err
}

func (s *sqliteStore) Get(key []byte, use func(value []byte)) error {
	return sqliteRow(s.get, key, use)
}

func sqliteRow(statement *sql.Stmt, key []byte, use func(value []byte)) error {
	var value []byte
	err := statement.QueryRow(key).Scan(&value)
	if errors.Is(err, sql.ErrNoRows) {
		return errNotFound
	}
	if err != nil {
		return err
	}
	use(value)
	return nil
}

// transact makes one transaction of what do does with the writing connection.
func (s *sqliteStore) transact(do func(tx *sql.Tx) error) error {
	tx, err := s.writer.Begin()
	if err != nil {
		return err
	}
	if err := do(tx); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}

func (s *sqliteStore) Batch(pairs []Pair) error {
	return s.transact(func(tx *sql.Tx) error {
		put := tx.Stmt(s.put)
		for _, pair := range pairs {
			if _, err := put.Exec(pair.Key, pair.Value); err != nil {
				return err
			}
		}
		return nil
	})
}

func (s *sqliteStore) Scan(start []byte, limit int, visit func(key, value []byte)) error {
	if limit == 0 {
		limit = -1
	}
	if start == nil {
		start = []byte{}
	}
	rows, err := s.ranged.Query(start, limit)
	if err != nil {
		return err
	}
	defer rows.Close()
	var key, value sql.RawBytes
	for rows.Next() {
		if err := rows.Scan(&key, &value); err != nil {
			return err
		}
		visit(key, value)
	}
	return rows.Err()
}

func (s *sqliteStore) Update(key []byte, change func(old []byte) []byte) error {
	return s.transact(func(tx *sql.Tx) error {
		var changed []byte
		err := sqliteRow(tx.Stmt(s.old), key, func(old []byte) { changed = change(old) })
		if errors.Is(err, errNotFound) {
			changed, err = change(nil), nil
		}
		if err != nil {
			return err
		}
		_, err = tx.Stmt(s.put).Exec(key, changed)
		return err
	})
}

// Sync copies the write-ahead log into the file, which syncs both.
func (s *sqliteStore) Sync() error {
	_, err := s.writer.Exec(`PRAGMA wal_checkpoint(FULL)`)
	return err
}

func (s *sqliteStore) Close() error {
	var errs []error
	for _, db := range []*sql.DB{s.reader, s.writer} {
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	return errors.Join(errs...)
}
