// Package verdict says in words what makes a target grow: the heap, memory outside of it, or files in a folder. Judge is a
// pure function of series and evidence; Read takes the series from a store. A verdict stands only where its numbers carry it,
// names them, and says "not known yet" where something grows and they do not suffice. What does not grow has no verdict.
//
// All bounds are shares, so that a small service is judged as a large one is. The package reads no file, clock or network.
package verdict
