package kv

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// Label is a name and a value that tell the metrics of one store from those of others.
type Label struct{ Name, Value string }

var labelName = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]*$`)

// labelText returns labels as Prometheus' text format has them, without the braces.
func labelText(labels []Label) (string, error) {
	seen := map[string]bool{}
	texts := make([]string, 0, len(labels))
	for _, l := range labels {
		switch {
		case !labelName.MatchString(l.Name):
			return "", fmt.Errorf("label %q: a name has letters, digits and underscores, and doesn't begin with a digit", l.Name)
		case strings.HasPrefix(l.Name, "__") || l.Name == "le":
			return "", fmt.Errorf("label %q: the name is reserved", l.Name)
		case seen[l.Name]:
			return "", fmt.Errorf("label %q: the name comes twice", l.Name)
		case !utf8.ValidString(l.Value):
			return "", fmt.Errorf("label %q: the value %q is not valid UTF-8", l.Name, l.Value)
		}
		seen[l.Name] = true
		texts = append(texts, l.Name+`="`+escapeLabel(l.Value)+`"`)
	}
	return strings.Join(texts, ","), nil
}

// labelSet returns a text that is the same for the same labels in any order. An empty value is as good as no label to Prometheus.
func labelSet(labels []Label) string {
	kept := slices.DeleteFunc(slices.Clone(labels), func(l Label) bool { return l.Value == "" })
	slices.SortFunc(kept, func(a, b Label) int { return strings.Compare(a.Name, b.Name) })
	return fmt.Sprintf("%q", kept)
}

var labelEscapes = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)

func escapeLabel(value string) string { return labelEscapes.Replace(value) }
