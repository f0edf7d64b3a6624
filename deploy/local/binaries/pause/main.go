// Command pause is the process that holds a Pod's namespaces: it reaps what is orphaned there and ends on SIGTERM.
// It is the whole of the image middleware.local/pause.
package main

import (
	"os"
	"os/signal"
	"syscall"
)

func main() {
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGCHLD)
	for received := range signals {
		if received != syscall.SIGCHLD {
			return
		}
		for { // one SIGCHLD may stand for several children
			if pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil); pid <= 0 || err == syscall.ECHILD {
				break
			}
		}
	}
}
