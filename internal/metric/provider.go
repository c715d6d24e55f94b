package metric

// What opens on first need and closes when idle: readers of heaps, watchers of files, templates.
var (
	ProviderOpen     = &Own{"spillway_provider_open", "Open providers, by kind; they open on first need and close when idle.", Gauge, []string{"provider"}}
	ProviderOpens    = &Own{"spillway_provider_opens_total", "Providers opened successfully, by kind.", Counter, []string{"provider"}}
	ProviderFailures = &Own{"spillway_provider_failures_total", "Providers that could not be opened, or that broke while open, by kind.", Counter, []string{"provider"}}
)

var providerOwns = []*Own{
	ProviderOpen, ProviderOpens, ProviderFailures,
}
