"""Usage: client.py http://HOST:PORT USER."""

import sys

import gondola

url, user = sys.argv[1:]

with gondola.Client(url) as client:
    # The best items for a user.
    answer = client.recommend(user, k=3)
    for item in answer.items:
        print(item.item, item.score)

    # Items like the first of them.
    print("similar:", *client.similar(answer.ids[0], k=3).ids)

    # The user clicked on it: in their next answer. Sent again under the same event_id it counts once.
    click = gondola.Interaction("python-1", user, answer.ids[0], "click", request_id=answer.request_id)
    print("taken:", client.record_interactions([click]).raise_for_refused().taken)

    # An error says what is wrong and what to do, and has the request's id for the server's log.
    try:
        client.similar("no such item")
    except gondola.NotFound as error:
        print("refused:", error.message)
