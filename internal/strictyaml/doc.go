// Package strictyaml fills Go values from YAML and knows the line and the key of every mistake. An
// unknown key, a key that stands twice and a value of another kind are mistakes; it goes on after
// each, so that a person can correct all of them at once.
package strictyaml
