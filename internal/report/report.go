package report

// Func takes a mistake at a key, such as "limits.max_bytes", with a format and its arguments as
// fmt.Sprintf has them.
type Func func(key, format string, args ...any)

// Ignore is for checks whose mistakes are reported elsewhere.
func Ignore(string, string, ...any) {}

// Under returns a Func for a part below prefix: a key there is "prefix.key", the part itself, with
// the key "", is prefix.
func (f Func) Under(prefix string) Func {
	return func(key, format string, args ...any) {
		if key != "" && key[0] != '[' {
			key = "." + key
		}
		f(prefix+key, format, args...)
	}
}
