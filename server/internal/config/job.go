package config

import (
	"context"

	"github.com/claimcheck-go/claimcheck/cloudrunjobs"
	"github.com/claimcheck-go/claimcheck/detect"
)

// JobName returns the full name of the job of JOBS_NAME; empty: there is none.
func (c *Config) JobName(ctx context.Context) (string, error) {
	s, d := c.Settings, c.Detector()
	name := s.JobsName
	if cloudrunjobs.IsShort(name) {
		project, err := settingOrDetected(ctx, s.CloudTasksProject, d.Project)
		if err != nil {
			return "", Problemf("JOBS_NAME", "is the name of a job alone, and its project is neither given nor detected here: write projects/PROJECT/locations/REGION/jobs/%s", name)
		}
		// The job is where the service is; queues may be in another region.
		location := s.CloudTasksLocation
		if found, err := d.Location(ctx); err == nil {
			location = found.Value
		}
		if location == "" {
			return "", Problemf("JOBS_NAME", "is the name of a job alone, and its region is neither given nor detected here: write projects/PROJECT/locations/REGION/jobs/%s", name)
		}
		name = cloudrunjobs.FullName(project, location, name)
	}
	if name == "" {
		return "", nil
	}
	if cloudrunjobs.CheckName(name) != nil {
		return "", Problemf("JOBS_NAME", "must be projects/PROJECT/locations/REGION/jobs/NAME, or the NAME of a job here, not %q", name)
	}
	return name, nil
}

// settingOrDetected returns a setting, or what is detected in its place.
func settingOrDetected(ctx context.Context, setting string, detected func(context.Context) (detect.Found, error)) (string, error) {
	if setting != "" {
		return setting, nil
	}
	found, err := detected(ctx)
	return found.Value, err
}
