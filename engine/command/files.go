package main

import (
	"io/fs"
	"os"
	"path"
	"strings"

	"github.com/gobwas/glob"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/archive"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/asset"
)

// collect adds the files that a command left and that its inputs ask for.
func collect(dir string, inputs props, outputs resource.PropertyMap) error {
	if globs, ok := inputs.texts("assetPaths"); ok {
		found, err := matching(dir, globs)
		if err != nil {
			return err
		}
		assets := resource.PropertyMap{}
		for name, a := range found {
			assets[resource.PropertyKey(name)] = resource.NewProperty(a)
		}
		outputs["assets"] = resource.NewProperty(assets)
	}
	if globs, ok := inputs.texts("archivePaths"); ok {
		found, err := matching(dir, globs)
		if err != nil {
			return err
		}
		members := map[string]any{}
		for name, a := range found {
			members[name] = a
		}
		packed, err := archive.FromAssets(members)
		if err != nil {
			return err
		}
		outputs["archive"] = resource.NewProperty(packed)
	}
	return nil
}

// matching returns the files under dir whose last matching pattern does not begin with `!`.
func matching(dir string, patterns []string) (map[string]*asset.Asset, error) {
	compiled := make([]glob.Glob, len(patterns))
	for i, pattern := range patterns {
		var err error
		if compiled[i], err = glob.Compile(strings.TrimPrefix(pattern, "!"), '/'); err != nil {
			return nil, err
		}
	}
	found := map[string]*asset.Asset{}
	err := fs.WalkDir(os.DirFS(dir), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		wanted := false
		for i := range patterns {
			if compiled[i].Match(name) {
				wanted = !strings.HasPrefix(patterns[i], "!")
			}
		}
		if !wanted {
			return nil
		}
		found[name], err = asset.FromPath(path.Join(dir, name))
		return err
	})
	return found, err
}
