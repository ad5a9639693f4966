package main

import (
	"fmt"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/plugin"
)

// plain is a value without the mark of a secret.
func plain(v resource.PropertyValue) resource.PropertyValue {
	for {
		switch {
		case v.IsSecret():
			v = v.SecretValue().Element
		case v.IsOutput() && v.OutputValue().Known:
			v = v.OutputValue().Element
		default:
			return v
		}
	}
}

func unknown(v resource.PropertyValue) bool {
	v = plain(v)
	return v.IsComputed() || v.IsOutput()
}

// props reads inputs or state that check has passed.
type props resource.PropertyMap

func (p props) value(name string) resource.PropertyValue {
	return plain(resource.PropertyMap(p)[resource.PropertyKey(name)])
}

// text returns a string, and whether one is given.
func (p props) text(name string) (string, bool) {
	if v := p.value(name); v.IsString() {
		return v.StringValue(), true
	}
	return "", false
}

func (p props) number(name string, fallback float64) float64 {
	if v := p.value(name); v.IsNumber() {
		return v.NumberValue()
	}
	return fallback
}

func (p props) flag(name string, fallback bool) bool {
	if v := p.value(name); v.IsBool() {
		return v.BoolValue()
	}
	return fallback
}

func (p props) object(name string) (props, bool) {
	if v := p.value(name); v.IsObject() {
		return props(v.ObjectValue()), true
	}
	return nil, false
}

// texts returns an array of strings, and whether one is given.
func (p props) texts(name string) ([]string, bool) {
	v := p.value(name)
	if !v.IsArray() {
		return nil, false
	}
	found := []string{}
	for _, element := range v.ArrayValue() {
		found = append(found, plain(element).StringValue())
	}
	return found, true
}

func (p props) secret(name string) bool {
	v, ok := resource.PropertyMap(p)[resource.PropertyKey(name)]
	return ok && v.ContainsSecrets()
}

// checked returns the inputs that a resource has, with the values where none were given and the marks
// of secrets, and what is wrong with them. Values that are not known yet pass.
func checked(fields []field, given resource.PropertyMap, path string) (resource.PropertyMap, []plugin.CheckFailure) {
	inputs := resource.PropertyMap{}
	var failures []plugin.CheckFailure
	fail := func(property, reason string) {
		failures = append(failures, plugin.CheckFailure{Property: resource.PropertyKey(property), Reason: reason})
	}
	for _, f := range fields {
		key, at := resource.PropertyKey(f.name), path+f.name
		v, ok := given[key]
		if !ok || v.IsNull() {
			if f.required {
				fail(at, fmt.Sprintf("missing required property '%s'", at))
			} else if f.fallback != nil {
				inputs[key] = resource.NewPropertyValue(f.fallback)
			}
			continue
		}
		if f.kind == kindObject && plain(v).IsObject() {
			within, more := checked(f.fields, plain(v).ObjectValue(), at+".")
			failures = append(failures, more...)
			if v.IsSecret() {
				v = resource.MakeSecret(resource.NewProperty(within))
			} else {
				v = resource.NewProperty(within)
			}
		} else if reason := f.mismatch(v); reason != "" {
			fail(at, fmt.Sprintf("'%s' %s", at, reason))
		}
		if f.secret && !v.IsSecret() {
			v = resource.MakeSecret(v)
		}
		inputs[key] = v
	}
	return inputs, failures
}

// mismatch says why a value is not of the field's kind, or nothing.
func (f field) mismatch(v resource.PropertyValue) string {
	if unknown(v) {
		return ""
	}
	v = plain(v)
	switch f.kind {
	case kindString:
		return unless(v.IsString(), "must be a string", v)
	case kindBoolean:
		return unless(v.IsBool(), "must be true or false", v)
	case kindNumber:
		return unless(v.IsNumber(), "must be a number", v)
	case kindInteger:
		return unless(v.IsNumber() && v.NumberValue() == float64(int64(v.NumberValue())), "must be a whole number", v)
	case kindLogging:
		return unless(v.IsString() && logsOf(v.StringValue()) != nil, "must be stdout, stderr, stdoutAndStderr or none", v)
	case kindAnys:
		return unless(v.IsArray(), "must be a list", v)
	case kindStrings:
		if !v.IsArray() {
			return unless(false, "must be a list of strings", v)
		}
		for _, element := range v.ArrayValue() {
			if !unknown(element) && !plain(element).IsString() {
				return "must be a list of strings"
			}
		}
	case kindMap:
		if !v.IsObject() {
			return unless(false, "must be a map of strings", v)
		}
		for _, element := range v.ObjectValue() {
			if !unknown(element) && !plain(element).IsString() {
				return "must be a map of strings"
			}
		}
	case kindSource:
		return unless(v.IsAsset() || v.IsArchive(), "must be an asset or an archive", v)
	case kindObject:
		return unless(false, "must be an object", v)
	}
	return ""
}

func unless(ok bool, rule string, v resource.PropertyValue) string {
	if ok {
		return ""
	}
	return fmt.Sprintf("%s, and a %s was given", rule, v.TypeString())
}
