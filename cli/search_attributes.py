"""The search attributes by which people find an App's workflows: registered once with the Temporal server."""

from __future__ import annotations

from datetime import timedelta

from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest, ListSearchAttributesRequest
from temporalio.service import RPCError

from api.operations import SEARCH_APP, SEARCH_NAMESPACE, SEARCH_OPERATION, SEARCH_PLUGIN
from clients import temporal

NAMES = (SEARCH_APP, SEARCH_NAMESPACE, SEARCH_OPERATION, SEARCH_PLUGIN)
_PATIENCE = 5.0
_CALL = timedelta(seconds=10)


async def register(address: str, namespace: str) -> str:
    """A sentence on what was done. Never fails: the server may be reachable from Pods only, or allow it to nobody but
    its own administrators; then the sentence says what to do."""
    try:
        client = await temporal.connect(address, namespace, patience=_PATIENCE)
        service = client.operator_service
        listed = await service.list_search_attributes(ListSearchAttributesRequest(namespace=namespace), timeout=_CALL)
        missing = [name for name in NAMES if name not in listed.custom_attributes]
        if missing:
            wanted = dict.fromkeys(missing, IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD)
            request = AddSearchAttributesRequest(namespace=namespace, search_attributes=wanted)
            await service.add_search_attributes(request, timeout=_CALL)
    except (RPCError, RuntimeError) as error:
        words = " ".join(f"--name {name} --type Keyword" for name in NAMES)
        return (
            f"Search attributes: Temporal at {address} could not be asked from here ({error}). Where they are not "
            f"registered yet: temporal operator search-attribute create --namespace {namespace} {words}"
        )
    return f"Search attributes: {', '.join(missing)} registered" if missing else "Search attributes: registered already"
