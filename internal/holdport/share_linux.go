package holdport

// share keeps the port bound: Linux lets several sockets with SO_REUSEADDR bind it
// as long as only one listens.
func (*Port) share() {}
