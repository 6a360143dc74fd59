package server_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/walnutkv/walnut/kv"
	"github.com/walnutkv/walnut/server"
)

// Users are changed in their file. The connections of those that are gone are closed.
func ExampleUsersFile() {
	dir, err := os.MkdirTemp("", "walnut")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "users")
	if err := os.WriteFile(path, []byte("user ada on >secret ~* +@all\nuser bob on >word ~bob:* +@read\n"), 0o600); err != nil {
		panic(err)
	}
	file := server.UsersFile{Path: path}
	users, err := file.Read()
	if err != nil {
		panic(err)
	}

	db, err := kv.OpenMemory(kv.Options{})
	if err != nil {
		panic(err)
	}
	defer db.Close()
	srv, err := server.New(db, server.Options{Users: users})
	if err != nil {
		panic(err)
	}
	defer srv.Close()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	go srv.Serve(context.Background(), listener)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	go file.Watch(ctx, hangups, srv.SetUsers)

	conn, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		panic(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "AUTH bob word\r\n")
	replies := bufio.NewScanner(conn)
	fmt.Println(replies.Scan(), replies.Text())

	if err := os.WriteFile(path, []byte("user ada on >secret ~* +@all\n"), 0o600); err != nil {
		panic(err)
	}
	fmt.Println(replies.Scan())
	// Output:
	// true +OK
	// false
}
