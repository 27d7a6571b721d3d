package detect

import (
	"context"
	"fmt"
	"strings"
)

// Location returns the region, which is also the Cloud Tasks location, such as
// "us-central1": CLOUD_RUN_REGION if it is set (the platform does not set it), else
// the metadata server's region, else the region of its zone. The error is an
// [*Error].
func (d *Detector) Location(ctx context.Context) (Found, error) {
	f, err := d.region(ctx)
	if err != nil {
		return Found{}, &Error{Piece: PieceLocation, Err: err}
	}
	return f, nil
}

func (d *Detector) region(ctx context.Context) (Found, error) {
	if f := d.variable("CLOUD_RUN_REGION"); f.Value != "" {
		return regionOf(f)
	}
	f, err := d.fromMetadata(ctx, "instance/region")
	if err == nil {
		if f, err = regionOf(f); err == nil {
			return f, nil
		}
	}
	zone, zoneErr := d.fromMetadata(ctx, "instance/zone")
	if zoneErr != nil {
		return Found{}, fmt.Errorf("variable CLOUD_RUN_REGION is not set; %w", err)
	}
	if i := strings.LastIndexByte(zone.Value, '-'); i >= 0 {
		zone.Value = zone.Value[:i] // us-central1-a → us-central1
	}
	return regionOf(zone)
}

// regionOf trims "projects/NUM/regions/" (or zones) and refuses what is not a
// region. App Engine calls two regions by names without their number.
func regionOf(f Found) (Found, error) {
	region := f.Value[strings.LastIndexByte(f.Value, '/')+1:]
	switch region {
	case "us-central", "europe-west":
		region += "1"
	}
	last := region[max(len(region)-1, 0):]
	if !madeOf(region, "-") || !strings.Contains(region, "-") || strings.Trim(last, "0123456789") != "" {
		return Found{}, fmt.Errorf("%s holds %q, which names no region", f.Source, f.Value)
	}
	return Found{Value: region, Source: f.Source}, nil
}
