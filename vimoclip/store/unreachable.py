"""What the errors of an object store say, as obstore and Lance give them: in their text alone."""

from vimoclip.errors import StoreUnreachableError

_NOT_SERVED = ("Generic ", "necessary privileges", "valid authentication", "Commit result", " 401 ", " 403 ")


def not_served(error: Exception) -> bool:
    """Whether an error of Lance's is the object store's fault, and not that of what lies there: a file that was cut
    short is asked for what it does not have (416)."""
    text = str(error)
    return any(sign in text for sign in _NOT_SERVED) and " 416 " not in text


def unreachable(error: Exception, where: object) -> StoreUnreachableError:
    """The error that says why an object store cannot be used, from obstore's or Lance's own."""
    text = str(error)
    none = ("There are no credentials", "Give them in the environment: see docs/cluster.md.")
    unknown = ("The object store does not know you", "Check the credentials in the environment.")
    refused = ("The object store refuses", "Check the credentials in the environment, and what they allow.")
    known = {
        "169.254.169.254": none,  # where a cloud's own machines would find some
        "get AWS credentials": none,
        "Account must be specified": none,
        "resolve region": ("The bucket cannot be found", "Give its AWS_DEFAULT_REGION, or AWS_ENDPOINT_URL."),
        "NoSuchBucket": ("There is no such bucket", "Make it, or name another with --store."),
        "ContainerNotFound": ("There is no such container", "Make it, or name another with --store."),
        "PermanentRedirect": ("The bucket is in another region", "Give its AWS_DEFAULT_REGION."),
        "ExpiredToken": ("The credentials have expired", "Put fresh ones in the environment."),
        " 401 ": unknown,
        "valid authentication": unknown,
        " 403 ": refused,
        "necessary privileges": refused,
    }
    what, hint = "The object store does not answer", "Check the network and AWS_ENDPOINT_URL, then run it again."
    for sign, meaning in known.items():
        if sign in text:
            what, hint = meaning
            break
    return StoreUnreachableError(
        f"{what}: {where}.", received=text.splitlines()[0][:300], hint=f"{hint} Everything committed is safe."
    )
