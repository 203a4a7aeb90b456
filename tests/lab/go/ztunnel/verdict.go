package main

import (
	"net/netip"
	"slices"
	"strings"

	"istio.io/istio/pkg/workloadapi"
	"istio.io/istio/pkg/workloadapi/security"
)

// admits says whether a connection to a port of a pod may come in (workloadapi/security/authorization.proto): a Deny that means it
// refuses it; where an Allow is for the pod, one of them must mean it.
func (t *told) admits(from caller, to *workloadapi.Workload, at netip.AddrPort) bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	guarded, allowed := false, false
	for name, one := range t.policies {
		if one.DryRun || !applies(one, name, to) {
			continue
		}
		meant := means(one, from, at)
		if one.Action == security.Action_DENY && meant {
			return false
		}
		if one.Action == security.Action_ALLOW {
			guarded, allowed = true, allowed || meant
		}
	}
	return allowed || !guarded
}

func applies(one *security.Authorization, name string, to *workloadapi.Workload) bool {
	switch one.Scope {
	case security.Scope_GLOBAL:
		return true
	case security.Scope_NAMESPACE:
		return one.Namespace == to.Namespace
	}
	return slices.Contains(to.AuthorizationPolicies, name)
}

// means says whether one of the groups holds: each of its rules by one of its alternatives at least.
func means(one *security.Authorization, from caller, at netip.AddrPort) bool {
	return slices.ContainsFunc(one.Groups, func(group *security.Group) bool {
		return !slices.ContainsFunc(group.Rules, func(rule *security.Rules) bool {
			holds := func(each *security.Match) bool { return matches(each, from, at) }
			return len(rule.Matches) > 0 && !slices.ContainsFunc(rule.Matches, holds)
		})
	})
}

// matches says whether every kind of condition that is there holds, each by one of its values.
func matches(one *security.Match, from caller, at netip.AddrPort) bool {
	return both(one.Namespaces, one.NotNamespaces, text(from.namespace)) &&
		both(one.Principals, one.NotPrincipals, text(from.principal)) &&
		both(one.ServiceAccounts, one.NotServiceAccounts, account(from)) &&
		both(one.SourceIps, one.NotSourceIps, within(from.address)) &&
		both(one.DestinationIps, one.NotDestinationIps, within(at.Addr())) &&
		both(one.DestinationPorts, one.NotDestinationPorts, func(port uint32) bool { return port == uint32(at.Port()) })
}

// both is true where one of the wanted values holds, if there are any, and none of the unwanted.
func both[T any](wanted, unwanted []T, holds func(T) bool) bool {
	return (len(wanted) == 0 || slices.ContainsFunc(wanted, holds)) && !slices.ContainsFunc(unwanted, holds)
}

// text compares with a part of an identity; where there is none, nothing is like it.
func text(value string) func(*security.StringMatch) bool {
	return func(one *security.StringMatch) bool {
		if value == "" {
			return false
		}
		switch form := one.MatchType.(type) {
		case *security.StringMatch_Exact:
			return value == form.Exact
		case *security.StringMatch_Prefix:
			return strings.HasPrefix(value, form.Prefix)
		case *security.StringMatch_Suffix:
			return strings.HasSuffix(value, form.Suffix)
		case *security.StringMatch_Presence:
			return true
		}
		return false
	}
}

func account(from caller) func(*security.ServiceAccountMatch) bool {
	return func(one *security.ServiceAccountMatch) bool {
		return from.principal != "" && one.Namespace == from.namespace && one.ServiceAccount == from.account
	}
}

func within(address netip.Addr) func(*security.Address) bool {
	return func(one *security.Address) bool {
		network, ok := netip.AddrFromSlice(one.Address)
		return ok && netip.PrefixFrom(network, int(one.Length)).Masked().Contains(address.Unmap())
	}
}
