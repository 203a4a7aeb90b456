// Command suite is the Gateway API's conformance suite for meshes, built for the test lab as a program.
//
//	suite -overlay FOLDER -without FEATURE,...     and the flags of the suite itself
//
// A file in the folder stands for the suite's own one of that path. It runs every test for meshes but those that need a
// feature which is left out; its exit code is the verdict.
package main

import (
	"errors"
	"flag"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/gateway-api/conformance"
	"sigs.k8s.io/gateway-api/conformance/tests"
	meshtests "sigs.k8s.io/gateway-api/conformance/tests/mesh"
	"sigs.k8s.io/gateway-api/conformance/utils/suite"
	"sigs.k8s.io/gateway-api/pkg/features"
)

var (
	overlay = flag.String("overlay", "", "folder whose files stand for the suite's own")
	without = flag.String("without", "", "features that the mesh lacks, with commas")
)

// merged looks for every file in an upper file system first.
type merged struct{ upper, lower fs.FS }

func (m merged) Open(name string) (fs.File, error) {
	file, err := m.upper.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return m.lower.Open(name)
	}
	return file, err
}

// asked are the features of all tests for meshes, but for those that the mesh lacks.
func asked() []features.FeatureName {
	lacking := strings.Split(*without, ",")
	var found []features.FeatureName
	for _, test := range meshtests.MeshConformanceTests {
		for _, name := range test.Features {
			if !slices.Contains(found, name) && !slices.Contains(lacking, string(name)) {
				found = append(found, name)
			}
		}
	}
	return found
}

func run(t *testing.T) {
	tests.ConformanceTests = meshtests.MeshConformanceTests
	options := conformance.DefaultOptions(t)
	options.ConformanceProfiles = []suite.ConformanceProfileName{
		suite.MeshHTTPConformanceProfileName, suite.MeshGRPCConformanceProfileName,
	}
	options.SupportedFeatures = asked()
	if *overlay != "" {
		options.ManifestFS = []fs.FS{merged{os.DirFS(*overlay), &conformance.Manifests}}
	}
	conformance.RunConformanceWithOptions(t, options)
}

func main() {
	matches := func(pattern, name string) (bool, error) { return regexp.MatchString(pattern, name) }
	testing.Main(matches, []testing.InternalTest{{Name: "Conformance", F: run}}, nil, nil)
}
