package cli

import "kubbi-mcp/kubbi/api"

// webhookSecretCmd is `kubbi-mcp webhook-secret`.
type webhookSecretCmd struct{}

// Run prints the secret of the API key's receipts, alone, on stdout.
func (c *webhookSecretCmd) Run(a *app) error {
	if a.cfg.APIKey == "" {
		return usagef("webhook-secret needs the API key that kubbis are created with: set KUBBI_API_KEY")
	}
	secret, err := api.WebhookSecret(a.cfg.APIKey)
	if err != nil {
		return err
	}
	return a.print(secret + "\n")
}
