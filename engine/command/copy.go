package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/pkg/sftp"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
)

// copySource is CopyToRemote. A delete leaves the copy; an update copies only what changed.
func copySource(ctx context.Context, report reporter, inputs, old props, step string) error {
	if step == "delete" || (step == "update" && !needsCopy(inputs, old)) {
		return nil
	}
	return overSFTP(ctx, report, inputs, func(c *copier) error {
		to, _ := inputs.text("remotePath")
		return c.source(inputs.value("source"), to)
	})
}

// copyOneFile is CopyFile: the file is written to just that path.
func copyOneFile(ctx context.Context, report reporter, inputs props, step string) error {
	if step == "delete" {
		return nil
	}
	from, _ := inputs.text("localPath")
	to, _ := inputs.text("remotePath")
	return overSFTP(ctx, report, inputs, func(c *copier) error { return c.file(from, to) })
}

func needsCopy(inputs, old props) bool {
	from, _ := old.text("remotePath")
	to, _ := inputs.text("remotePath")
	hash := hashOf(inputs)
	return from != to || hash == "" || hash != hashOf(old) || hostOf(inputs) != hostOf(old)
}

func hashOf(inputs props) string {
	switch source := inputs.value("source"); {
	case source.IsAsset():
		return source.AssetValue().Hash
	case source.IsArchive():
		return source.ArchiveValue().Hash
	}
	return ""
}

func hostOf(inputs props) string {
	connection, _ := inputs.object("connection")
	host, _ := connection.text("host")
	return fmt.Sprint(host, " ", connection.number("port", 22))
}

func overSFTP(ctx context.Context, report reporter, inputs props, work func(*copier) error) error {
	client, done, err := dial(ctx, report, inputs)
	if err != nil {
		return err
	}
	defer done()
	stop := context.AfterFunc(ctx, func() { client.Close() })
	defer stop()
	files, err := sftp.NewClient(client, sftp.UseConcurrentWrites(true))
	if err != nil {
		return fmt.Errorf("the SSH server offers no SFTP: %w", err)
	}
	defer files.Close()
	return work(&copier{files})
}

// copier writes to one remote host. Remote paths are POSIX paths.
type copier struct{ remote *sftp.Client }

// source copies an asset or archive: text and streams to a file, a folder with all it holds, an archive
// file as it is, and an archive of assets to a folder.
func (c *copier) source(v resource.PropertyValue, to string) error {
	if v.IsAsset() {
		switch a := v.AssetValue(); {
		case a.IsText():
			return c.stream(strings.NewReader(a.Text), "", to)
		case a.IsPath():
			return c.path(a.Path, to)
		case a.IsURI():
			blob, err := a.Read()
			if err != nil {
				return fmt.Errorf("reading %s: %w", a.URI, err)
			}
			defer blob.Close()
			return c.stream(blob, nameInURI(a.URI), to)
		}
	}
	if v.IsArchive() {
		switch a := v.ArchiveValue(); {
		case a.IsPath():
			return c.path(a.Path, to)
		case a.IsURI():
			_, stream, err := a.ReadSourceArchive()
			if err != nil {
				return fmt.Errorf("reading %s: %w", a.URI, err)
			}
			if stream == nil {
				return fmt.Errorf("%s is no archive", a.URI)
			}
			defer stream.Close()
			return c.stream(stream, nameInURI(a.URI), to)
		case a.IsAssets():
			return c.members(v, to)
		}
	}
	return errors.New("source holds nothing to copy")
}

func nameInURI(uri string) string {
	parsed, err := url.Parse(uri)
	if err != nil {
		return ""
	}
	if name := path.Base(parsed.Path); name != "/" && name != "." {
		return name
	}
	return ""
}

func (c *copier) members(v resource.PropertyValue, to string) error {
	if err := c.folder(to); err != nil {
		return err
	}
	reader, err := v.ArchiveValue().Open()
	if err != nil {
		return err
	}
	defer reader.Close()
	for {
		name, blob, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		at := path.Join(to, name)
		if err = c.folder(path.Dir(at)); err == nil {
			err = c.write(blob, at)
		}
		blob.Close()
		if err != nil {
			return err
		}
	}
}

// stream writes to the path, or into the folder that it is.
func (c *copier) stream(from io.Reader, name, to string) error {
	isFolder, exists, err := c.stat(to)
	if err != nil {
		return err
	}
	switch {
	case isFolder && name == "":
		return fmt.Errorf("%s is a folder on the remote host: remotePath must be a file path for text", to)
	case isFolder:
		to = path.Join(to, name)
	case !exists:
		if err := c.folder(path.Dir(to)); err != nil {
			return err
		}
	}
	return c.write(from, to)
}

// path copies a file to the path or into the folder that it is, and a folder into the path; a folder
// named with a `/` at its end gives what it holds rather than itself.
func (c *copier) path(from, to string) error {
	info, err := os.Stat(from)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		isFolder, exists, err := c.stat(to)
		if err != nil {
			return err
		}
		if isFolder {
			to = path.Join(to, filepath.Base(from))
		} else if !exists {
			if err := c.folder(path.Dir(to)); err != nil {
				return err
			}
		}
		return c.file(from, to)
	}
	if !strings.HasSuffix(from, "/") {
		if err := c.folder(to); err != nil {
			return err
		}
		to = path.Join(to, filepath.Base(from))
	}
	root, err := filepath.EvalSymlinks(from)
	if err != nil {
		return err
	}
	return filepath.WalkDir(root, func(at string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(root, at)
		if err != nil {
			return err
		}
		target := path.Join(to, filepath.ToSlash(relative))
		if entry.IsDir() {
			return c.folder(target)
		}
		return c.file(at, target)
	})
}

func (c *copier) stat(at string) (isFolder, exists bool, err error) {
	info, err := c.remote.Stat(at)
	if errors.Is(err, os.ErrNotExist) {
		return false, false, nil
	}
	if err != nil {
		return false, false, fmt.Errorf("looking at %s on the remote host: %w", at, err)
	}
	return info.IsDir(), true, nil
}

func (c *copier) folder(at string) error {
	isFolder, exists, err := c.stat(at)
	if err != nil || isFolder {
		return err
	}
	if exists {
		return fmt.Errorf("%s on the remote host exists and is not a folder", at)
	}
	if err := c.remote.MkdirAll(at); err != nil {
		return fmt.Errorf("making the folder %s on the remote host: %w", at, err)
	}
	return nil
}

func (c *copier) file(from, to string) error {
	local, err := os.Open(from)
	if err != nil {
		return err
	}
	defer local.Close()
	return c.write(local, to)
}

func (c *copier) write(from io.Reader, to string) error {
	remote, err := c.remote.Create(to)
	if err != nil {
		return fmt.Errorf("writing %s on the remote host: %w", to, err)
	}
	_, err = remote.ReadFrom(from)
	if closed := remote.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return fmt.Errorf("writing %s on the remote host: %w", to, err)
	}
	return nil
}
