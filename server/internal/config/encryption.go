package config

import (
	"strings"

	"github.com/claimcheck-go/claimcheck/queue/aead"
)

// Keyring returns the keys that encrypt tasks; nil without any. read reads their file.
func (c *Config) Keyring(read func(name string) ([]byte, error)) (*aead.Keyring, error) {
	const keys, file = "TASKS_ENCRYPTION_KEYS", "TASKS_ENCRYPTION_KEYS_FILE"
	name, text := keys, c.Settings.TasksEncryptionKeys
	if c.Settings.TasksEncryptionKeysFile != "" {
		if text != "" {
			return nil, Problemf(file, "and %s are both set: set one of them", keys)
		}
		data, err := read(c.Settings.TasksEncryptionKeysFile)
		if err != nil {
			return nil, Problemf(file, "cannot be read: %s", err)
		}
		if name, text = file, string(data); strings.TrimSpace(text) == "" {
			return nil, Problemf(file, "has no keys: %s is empty", c.Settings.TasksEncryptionKeysFile)
		}
	}
	if text == "" {
		return nil, nil //nolint:nilnil // nothing is encrypted
	}
	keyring, err := aead.Parse(text)
	if err != nil {
		return nil, Problemf(name, "is not understood: %s; the command keys new makes keys", strings.TrimPrefix(err.Error(), "aead: "))
	}
	return keyring, nil
}
