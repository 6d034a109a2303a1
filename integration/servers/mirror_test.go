package servers

import "testing"

func TestMirrorIsTheArchiveOfAPlainSuite(t *testing.T) {
	const (
		security = "http://mirror.example/debian-security/\tDebian\tbookworm-security\n"
		ports    = "http://mirror.example/backports/\tDebian\tbookworm-backports\n"
		other    = "http://other.example/tool/\tOther\tstable\n"
		plain    = "http://mirror.example/debian/\tDebian\tbookworm\n"
		unread   = "http://mirror.example/unread/\t\tbookworm\n" // before the first update
		sealed   = "http://mirror.example/debian-security/\t\tbookworm-security\n"
	)
	for name, c := range map[string]struct{ list, want string }{
		"first of its kind":       {security + ports + other + plain, "http://mirror.example/debian/"},
		"known before unknown":    {unread + plain, "http://mirror.example/debian/"},
		"unknown where need be":   {security + sealed + unread, "http://mirror.example/unread/"},
		"none but others'":        {other, ""},
		"none at all":             {"", ""},
		"lines that are no lines": {"x\n\t\t\n\n" + plain, "http://mirror.example/debian/"},
	} {
		u, err := chooseMirror(c.list)
		switch {
		case c.want == "" && err == nil:
			t.Errorf("%s: %s, want an error", name, u)
		case c.want != "" && (err != nil || u.String() != c.want):
			t.Errorf("%s: %v, %v; want %s", name, u, err, c.want)
		}
	}
}
