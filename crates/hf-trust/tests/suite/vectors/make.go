// Writes vectors.txt with golang.org/x/mod/sumdb/{note,tlog}, which share no code with hf-trust.
package main

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

type store []tlog.Hash

func (s store) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	var out []tlog.Hash
	for _, i := range indexes {
		out = append(out, s[i])
	}
	return out, nil
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func join(hashes []tlog.Hash) string {
	var out []string
	for _, h := range hashes {
		out = append(out, hex.EncodeToString(h[:]))
	}
	return strings.Join(out, " ")
}

// zeros gives keys that are the same at every run.
type zeros byte

func (z zeros) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(z)
	}
	return len(p), nil
}

func main() {
	var s store
	for n := int64(0); n < 66000; n++ {
		hashes, err := tlog.StoredHashes(n, []byte(fmt.Sprintf("entry %d", n)), s)
		check(err)
		s = append(s, hashes...)
	}
	sizes := []int64{1, 2, 3, 4, 5, 6, 7, 8, 9, 13, 31, 32, 33, 255, 256, 257, 511, 512, 513, 1000, 65535, 65536, 65537, 65800}
	for _, size := range sizes {
		root, err := tlog.TreeHash(size, s)
		check(err)
		fmt.Printf("root %d %s\n", size, hex.EncodeToString(root[:]))
		for _, index := range []int64{0, 1, size / 3, size / 2, size - 1} {
			if index < size {
				proof, err := tlog.ProveRecord(size, index, s)
				check(err)
				fmt.Printf("inclusion %d %d %s\n", size, index, join(proof))
			}
		}
		for _, old := range sizes {
			if old < size && (size < 600 || old > 200) {
				proof, err := tlog.ProveTree(size, old, s)
				check(err)
				fmt.Printf("consistency %d %d %s\n", old, size, join(proof))
			}
		}
	}
	tiles := tlog.NewTiles(8, 65000, 66000)
	for i, t := range tiles {
		// This version names a partial tile in all of its widths, the last one last.
		if i+1 < len(tiles) && tiles[i+1].L == t.L && tiles[i+1].N == t.N {
			continue
		}
		data, err := tlog.ReadTileData(t, s)
		check(err)
		sum := sha256.Sum256(data)
		fmt.Printf("tile %d %d %d %s\n", t.L, t.N, t.W, hex.EncodeToString(sum[:]))
	}
	fmt.Printf("tilepath 1234067 %s\n", strings.Replace(tlog.Tile{H: 8, L: 0, N: 1234067, W: 256}.Path(), "tile/8/", "tile/", 1))

	skey1, vkey1, err := note.GenerateKey(zeros(1), "alice.example/holdfast")
	check(err)
	skey2, vkey2, err := note.GenerateKey(zeros(2), "log.example/holdfast")
	check(err)
	_, vkey3, err := note.GenerateKey(zeros(3), "eve.example")
	check(err)
	fmt.Printf("vkey %s\nvkey %s\nvkey %s\n", vkey1, vkey2, vkey3)
	signer1, err := note.NewSigner(skey1)
	check(err)
	signer2, err := note.NewSigner(skey2)
	check(err)
	for _, text := range []string{"one line\n", "a\n\nb — c\n\n\n", "log.example/holdfast\n1\nfw1a6sA/ThNlYpCXvxVAaSSWTGLMdFQ0ckzKYbpYHbg=\n"} {
		msg, err := note.Sign(&note.Note{Text: text}, signer1, signer2)
		check(err)
		fmt.Printf("note %s\n", base64.StdEncoding.EncodeToString(msg))
	}
}
