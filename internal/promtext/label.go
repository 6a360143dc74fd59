package promtext

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// Label is a name and a value that tell samples apart.
type Label struct{ Name, Value string }

var labelName = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]*$`)

// Labels returns labels that a caller has chosen as the format has them, without the braces. The error names one that can't be: a name that
// isn't one in Prometheus, is reserved there or among those in taken, or comes twice; a value that isn't UTF-8. The labels are Label or
// another package's type of the same fields.
func Labels[L ~struct{ Name, Value string }](labels []L, taken ...string) (string, error) {
	seen := map[string]bool{}
	texts := make([]string, 0, len(labels))
	for _, one := range labels {
		l := Label(one)
		switch {
		case !labelName.MatchString(l.Name):
			return "", fmt.Errorf("label %q: a name has letters, digits and underscores, and doesn't begin with a digit", l.Name)
		case strings.HasPrefix(l.Name, "__") || l.Name == "le":
			return "", fmt.Errorf("label %q: the name is reserved", l.Name)
		case slices.Contains(taken, l.Name):
			return "", fmt.Errorf("label %q: the name is taken", l.Name)
		case seen[l.Name]:
			return "", fmt.Errorf("label %q: the name comes twice", l.Name)
		case !utf8.ValidString(l.Value):
			return "", fmt.Errorf("label %q: the value %q is not valid UTF-8", l.Name, l.Value)
		}
		seen[l.Name] = true
		texts = append(texts, Text(l.Name, l.Value))
	}
	return strings.Join(texts, ","), nil
}

// LabelSet returns a text that is the same for the same labels in any order. An empty value is as good as no label to Prometheus.
func LabelSet(labels []Label) string {
	kept := slices.DeleteFunc(slices.Clone(labels), func(l Label) bool { return l.Value == "" })
	slices.SortFunc(kept, func(a, b Label) int { return strings.Compare(a.Name, b.Name) })
	return fmt.Sprintf("%q", kept)
}

var escapes = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)

// Text returns a label as the format has it. The name must be a good one.
func Text(name, value string) string { return name + `="` + escapes.Replace(value) + `"` }
