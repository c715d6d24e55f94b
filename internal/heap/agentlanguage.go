package heap

// language is what differs between the preload scripts of Node.js and Python.
type language struct {
	provider string
	folder   string // of the sockets below /tmp, followed by the user's number
	start    string // how a service is started with the script
	samples  bool   // it can be asked to sample
	exact    string // asks for a reading that is not of some seconds ago; "": each one is
	decode   func(line []byte) (Usage, error)
}

var (
	nodeScript = language{
		provider: ProviderAgent, folder: "spillway-agent", start: "start node with --require=/usr/share/spillway/spillway-agent.cjs",
		samples: true, decode: decodeAgent,
	}
	pythonScript = language{
		provider: ProviderPython, folder: "spillway-python", start: "start python with PYTHONPATH=/usr/share/spillway/python",
		exact: "exact\n", decode: decodePython,
	}
)
