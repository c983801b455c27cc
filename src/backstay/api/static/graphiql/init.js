// Starts GraphiQL: it asks the address that it was loaded from, and nothing is loaded from any other host.
(() => {
  const first = `# Everything here is what the headers below may see:
# {"Authorization": "Bearer <the access token of a login, or an API key>"}
{
  __typename
}
`;
  const fetcher = async (asked, options = {}) => {
    const answer = await fetch(location.pathname, {
      method: "POST",
      headers: { "Content-Type": "application/json", Accept: "application/graphql-response+json, application/json", ...options.headers },
      body: JSON.stringify(asked),
    });
    return answer.json();
  };
  const page = React.createElement(GraphiQL, { fetcher, defaultQuery: first, shouldPersistHeaders: false });
  ReactDOM.createRoot(document.getElementById("graphiql")).render(page);
})();
