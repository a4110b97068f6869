package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	apiv0 "github.com/modelcontextprotocol/registry/pkg/api/v0"
	"github.com/modelcontextprotocol/registry/pkg/model"
	"go.yaml.in/yaml/v3"
)

// makeManifests makes what names archives by their address and checksum.
func (r *release) makeManifests(context.Context) error {
	for _, make := range []func() error{r.makeFormula, r.makeScoop, r.makeWinget, r.makeServerJSON} {
		if err := make(); err != nil {
			return err
		}
	}
	return nil
}

// download gives the address of an archive and its checksum.
func (r *release) download(name string) (url, sha256 string, err error) {
	sha256, err = r.sha256Of(name)
	return r.downloads + "/" + name, sha256, err
}

// makeFormula makes the formula for Homebrew on macOS and Linux.
func (r *release) makeFormula() error {
	var b strings.Builder
	class := ""
	for word := range strings.SplitSeq(r.about.Name, "-") {
		class += strings.ToUpper(word[:1]) + word[1:]
	}
	fmt.Fprintf(&b, "class %s < Formula\n  desc %q\n  homepage %q\n  version %q\n  license %q\n", class, strings.TrimSuffix(r.about.Description, "."), r.homepage(), r.version(), r.texts.licenceID)
	for _, system := range []struct{ brew, os string }{{"macos", "darwin"}, {"linux", "linux"}} {
		fmt.Fprintf(&b, "\n  on_%s do\n", system.brew)
		for _, cpu := range []struct{ brew, arch string }{{"arm", "arm64"}, {"intel", "amd64"}} {
			url, sum, err := r.download(r.archiveName(platform{system.os, cpu.arch}))
			if err != nil {
				return err
			}
			fmt.Fprintf(&b, "    on_%s do\n      url %q\n      sha256 %q\n    end\n", cpu.brew, url, sum)
		}
		b.WriteString("  end\n")
	}
	fmt.Fprintf(&b, `
  def install
    bin.install "%[1]s"
    man1.install Dir["man/*.1"]
    bash_completion.install "completion/%[1]s.bash" => "%[1]s"
    zsh_completion.install "completion/%[1]s.zsh" => "_%[1]s"
    fish_completion.install "completion/%[1]s.fish"
  end

  test do
    system bin/"%[1]s", "demo"
  end
end
`, r.about.Name)
	return r.write([]byte(b.String()), "homebrew", r.about.Name+".rb")
}

// makeScoop makes the manifest for Scoop on Windows.
func (r *release) makeScoop() error {
	architectures := map[string]any{}
	for name, arch := range map[string]string{"64bit": "amd64", "arm64": "arm64"} {
		url, sum, err := r.download(r.archiveName(platform{"windows", arch}))
		if err != nil {
			return err
		}
		architectures[name] = map[string]string{"url": url, "hash": sum}
	}
	return r.writeJSON(map[string]any{
		"version": r.version(), "description": r.about.Description, "homepage": r.homepage(), "license": r.texts.licenceID,
		"architecture": architectures, "bin": r.about.Name + ".exe",
	}, "scoop", r.about.Name+".json")
}

// makeWinget makes the three manifests for winget.
func (r *release) makeWinget() error {
	id := r.about.Title + "." + r.about.Title
	var installers []map[string]any
	for _, cpu := range []struct{ winget, arch string }{{"x64", "amd64"}, {"arm64", "arm64"}} {
		url, sum, err := r.download(r.archiveName(platform{"windows", cpu.arch}))
		if err != nil {
			return err
		}
		installers = append(installers, map[string]any{"Architecture": cpu.winget, "InstallerUrl": url, "InstallerSha256": strings.ToUpper(sum)})
	}
	for suffix, m := range map[string]map[string]any{
		"": {"ManifestType": "version", "DefaultLocale": "en-US"},
		".installer": {
			"ManifestType": "installer", "InstallerType": "zip", "NestedInstallerType": "portable",
			"NestedInstallerFiles": []map[string]string{{"RelativeFilePath": r.about.Name + ".exe", "PortableCommandAlias": r.about.Name}},
			"Installers":           installers,
		},
		".locale.en-US": {
			"ManifestType": "defaultLocale", "PackageLocale": "en-US", "Publisher": r.texts.holder, "PackageName": r.about.Title,
			"PackageUrl": r.homepage(), "License": r.texts.licenceID, "ShortDescription": r.about.Description, "Description": r.about.About, "Tags": keywords,
		},
	} {
		m["PackageIdentifier"], m["PackageVersion"], m["ManifestVersion"] = id, r.version(), "1.10.0"
		b, err := yaml.Marshal(m)
		if err != nil {
			return err
		}
		if err := r.write(b, "winget", id+suffix+".yaml"); err != nil {
			return err
		}
	}
	return nil
}

// makeServerJSON makes the entry for the MCP registry.
func (r *release) makeServerJSON() error {
	var variables []model.KeyValueInput
	var folders []model.Argument
	for _, s := range r.about.Settings {
		if s.Variable == "" {
			continue
		}
		input := model.Input{Description: s.Help, Default: s.Default, IsSecret: s.Type == "secret"}
		input.Format = map[string]model.Format{"boolean": model.FormatBoolean, "number": model.FormatNumber, "folder": model.FormatFilePath}[s.Type]
		if s.Type == "folder" && s.Repeatable {
			folders = append(folders, model.Argument{Type: model.ArgumentTypePositional, ValueHint: "folder", IsRepeated: true, InputWithVariables: model.InputWithVariables{Input: input}})
			continue
		}
		variables = append(variables, model.KeyValueInput{Name: s.Variable, InputWithVariables: model.InputWithVariables{Input: input}})
	}
	serve := model.Argument{Type: model.ArgumentTypePositional, InputWithVariables: model.InputWithVariables{Input: model.Input{Value: "serve"}}}
	bundle, sum, err := r.download(r.bundleName())
	if err != nil {
		return err
	}
	arguments := append([]model.Argument{serve}, folders...)
	stdio := model.Transport{Type: model.TransportTypeStdio}
	server := apiv0.ServerJSON{
		Schema: model.CurrentSchemaURL, Name: r.serverName(), Title: r.about.Title, Description: r.about.Description, Version: r.version(), WebsiteURL: r.homepage(),
		Packages: []model.Package{
			{RegistryType: model.RegistryTypeNPM, Identifier: r.about.Name, Version: r.version(), RunTimeHint: model.RuntimeHintNPX, PackageArguments: arguments, EnvironmentVariables: variables, Transport: stdio},
			{RegistryType: model.RegistryTypePyPI, Identifier: r.about.Name, Version: r.pythonVersion(), RunTimeHint: model.RuntimeHintUVX, PackageArguments: arguments, EnvironmentVariables: variables, Transport: stdio},
			{RegistryType: model.RegistryTypeMCPB, Identifier: bundle, FileSHA256: sum, Transport: stdio},
			{RegistryType: model.RegistryTypeOCI, Identifier: r.imageName + ":" + r.version(), RunTimeHint: model.RuntimeHintDocker, EnvironmentVariables: variables, Transport: stdio},
		},
	}
	return r.writeJSON(server, "server.json")
}

// writeJSON writes a value as indented JSON.
func (r *release) writeJSON(v any, elements ...string) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return r.write(append(b, '\n'), elements...)
}
