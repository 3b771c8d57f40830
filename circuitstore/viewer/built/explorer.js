(()=>{var S,Je,me,st,pe,Ht,Ye,zt,Xe,$e,he,Oo,xt=Symbol.for("pv"),Gt={},Kt=[],Do=/^m(i|n|o|s|text|space)$/,_e=Array.isArray,ve=Kt.slice,ct=Object.assign;function lt(t){t&&t.parentNode&&t.remove()}function Mt(t,e,n){var o,r,s,i={},a=arguments.length;for(s in e)s=="key"?o=e[s]:s=="ref"&&typeof t!="function"?r=e[s]:i[s]=e[s];return a>2&&(i.children=a>3?ve.call(arguments,2):n),kt(t,i,o,r,null)}function kt(t,e,n,o,r){var s={type:t,props:e,key:n,ref:o,__k:null,__:null,__b:0,__e:null,__c:null,constructor:xt,__v:r||++Je,__i:-1,__u:0};return!r&&S.vnode&&S.vnode(s),s}function St(){return{current:null}}function ut(t){return t.children}function Q(t,e){this.props=t,this.context=e,this.__g=0}function rt(t,e){if(e==null)return t.__&&rt(t.__,t.__i+1);for(var n;e<t.__k.length;e++)if((n=t.__k[e])&&n.__e)return n.__e;return typeof t.type!="function"||t.props.__P?null:rt(t)}function Bo(t){var e,n=t.__v,o=n.__e,r=[],s=[],i=t.__P;i&&((e=ct({constructor:xt},n)).__v=n.__v+1,S.vnode&&S.vnode(e),be(i,e,n,t.__n,i.namespaceURI,32&n.__u?[o]:null,r,o||rt(n),32&n.__u,s),e.__v=n.__v,e.__.__k[e.__i]=e,on(r,e,s),n.__=n.__e=null,e.__e!=o&&Ze(e))}function Ze(t){if((t=t.__)&&t.__c&&!t.props.__P)return t.__e=null,t.__k.some(function(e){return e&&(t.__e=e.__e)}),Ze(t)}function Ke(t){(8&t.__g||(t.__g|=8,st.push(t),Ht++))&&pe==S.debounceRendering||((pe=S.debounceRendering)||queueMicrotask)(Qe)}function Qe(){try{for(var t,e=1;st.length;)st.length>e&&st.sort(Ye),t=st.shift(),e=st.length,8&t.__g&&Bo(t)}finally{(Ht=st.length)&&(pe||queueMicrotask)(Qe)}}function tn(t,e,n,o,r,s,i,a,l,f,c){var p,h,d,m,b,$,_=o.__k||Kt,g=e.length;for(l=Wo(n,e,_,l,g),p=0;p<g;p++)(d=n.__k[p])!=null&&(h=~d.__i&&_[d.__i]||Gt,d.__i=p,$=be(t,d,h,r,s,i,a,l,f,c),m=d.__e,(h.ref!=d.ref||8&h.__u)&&(h.ref&&ge(h.ref,null,d,h),d.ref&&c.push(d.ref,d.__c||m,d)),b=b||m,4&d.__u?(l=en(d,l,t,!h.__v),h.__e&&(h.__e=null)):typeof d.type=="function"&&$!==void 0?l=$:m&&(l=m.nextSibling),d.__u&=-21);return n.__e=b,l}function Wo(t,e,n,o,r){var s,i,a,l,f,c,p,h,d,m=n.length,b=m,$=0,_=0,g=t.__k=Array(r);for(s=0;s<r;s++)(i=e[s])!=null&&typeof i!="boolean"&&typeof i!="function"?(typeof i!="object"||i.constructor===String?i=g[s]=kt(null,i):_e(i)?i=g[s]=kt(ut,{children:i}):i.constructor===xt&&i.__b?i=g[s]=kt(i.type,i.props,i.key,i.ref,i.__v):g[s]=i,l=s+$,i.__=t,i.__b=t.__b+1,a=null,~(f=i.__i=zo(i,n,l,b))&&(b--,(a=n[f])&&(a.__u|=2)),a&&a.__v?(i.__u|=16,f==l-1?$--:f==l+1?$++:f!=l&&(f>l?$--:$++,_=1)):(~f||(r>m?$--:r<m&&$++),typeof i.type!="function"&&(i.__u|=4))):g[s]=null;if(_){for(c=[],p=[],s=0;s<r;s++)if((i=g[s])&&16&i.__u){for($=0,h=c.length;$<h;)c[d=$+h>>1]<i.__i?$=d+1:h=d;c[$]=i.__i,p[s]=$+1}for($=c.length;s--;)p[s]&&(p[s]==$?$--:g[s].__u|=4)}if(b)for(s=0;s<m;s++)!(a=n[s])||2&a.__u||(a.__e==o&&(o=rt(a)),ye(a,a));return o}function en(t,e,n,o){var r,s,i,a;if(typeof t.type=="function"){if(t.props.__P)return e;if(r=t.__k)for(s=0;s<r.length;s++)r[s]&&(r[s].__=t,e=en(r[s],e,n,!1));return e}for(e&&!e.parentNode&&(e=rt(t))&&!e.parentNode&&(e=null),i=t.__e,a=e;a&&a.nodeType==8;)a=a.nextSibling;for(i!=a&&(!o&&n.moveBefore&&i.parentNode?n.moveBefore(i,e):n.insertBefore(i,e||null)),e=i;(e=e&&e.nextSibling)&&e.nodeType==8&&!e.data.startsWith("$s"););return e}function zo(t,e,n,o){var r,s=t.key,i=t.type,a=e[n],l=a&&!(2&a.__u);if(a===null&&s==null||l&&s==a.key&&i==a.type)return n;if(o>(l?1:0)){for(r=n-1;r>=0;r--)if((a=e[r])&&!(2&a.__u)&&s==a.key&&i==a.type)return r;for(r=n+1;r<e.length;r++)if((a=e[r])&&!(2&a.__u)&&s==a.key&&i==a.type)return r}return-1}function Ve(t,e,n){n==null&&(n=""),e[0]=="-"?t.setProperty(e,n):t[e]=n}function Wt(t,e,n,o,r){var s,i;if(e=="style")if(typeof n=="string")t.style.cssText=n;else{if(typeof o=="string"&&(t.style.cssText=o=""),o)for(e in o)n&&e in n||Ve(t.style,e);if(n)for(e in n)o&&n[e]==o[e]||Ve(t.style,e,n[e])}else if(e[0]=="o"&&e[1]=="n")typeof n!="function"&&(n=null),typeof o!="function"&&(o=null),(t.__e||(t.__e={}))[e]=n,n&&o||(i=he[e]||(he[e]=qo(e)),(t.__a||(t.__a={}))[e]=$e,s=e!=(e=e.replace(Xe,"$1")),(e=e.slice(2))[0]<"a"&&(e=e.toLowerCase()),n?t.addEventListener(e,i,s):t.removeEventListener(e,i,s));else{if(r=="http://www.w3.org/2000/svg")e=e.replace(/xlink(H|:h)/,"h").replace(/sName$/,"s");else if(e!="width"&&e!="height"&&e!="href"&&e!="list"&&e!="form"&&e!="tabIndex"&&e!="download"&&e!="rowSpan"&&e!="colSpan"&&e!="role"&&e!="popover"&&e in t)try{return void(t[e]=n??"")}catch{}if(typeof n=="function")return;n==null||n===!1&&e[4]!="-"?t.removeAttribute(e):t.setAttribute(e,e=="popover"&&n==1?"":n)}}function qo(t){return function(e){var n=this.__e;if(n){if(n=n[t],e[zt]==null)e[zt]=$e++;else if(e[zt]<this.__a[t])return;return n(S.event?S.event(e):e)}}}function be(t,e,n,o,r,s,i,a,l,f){var c,p,h,d,m,b,$,_,g,y,w,A,M,P,I,_t,J,Z,X=e.type;if(e.constructor!==xt)return null;128&n.__u&&(l=32&n.__u,c=n.__c.__z)&&(e.__u|=l,p=s=[],c.nodeType==8?a=qt(c,s):s.push(c),a=s[0]||a),(c=S.__b)&&c(e);t:if(typeof X=="function"){h=i.length;try{if(_=e.props,g=(c=X.prototype)&&c.render,y=(c=X.contextType)&&o[c.__c],w=c?y?y.props.value:c.__:o,(d=n.__c)?(e.__c=d,2&d.__g&&(d.__g|=1)):(g?e.__c=d=new X(_,w):(e.__c=d=new Q(_,w),d.constructor=X,d.render=Go),y&&y.sub(d),d.state||(d.state={}),d.__n=o,d.__g|=8,d.__h=[],d.__k=[]),g&&(d.__s||(d.__s=d.state),X.getDerivedStateFromProps&&(d.__s==d.state&&(d.__s=ct({},d.__s)),ct(d.__s,X.getDerivedStateFromProps(_,d.__s)))),m=d.props,b=d.state,d.__v=e,n.__c){if(_!==m&&g&&!X.getDerivedStateFromProps&&d.componentWillReceiveProps&&d.componentWillReceiveProps(_,w),e.__v==n.__v&&!(8&d.__g)||!(4&d.__g)&&d.shouldComponentUpdate&&d.shouldComponentUpdate(_,d.__s,w)===!1){e.__v!=n.__v&&(d.props=_,d.state=d.__s,d.__g&=-9),e.__e=n.__e,e.__k=n.__k,e.__k.some(function(Y){Y&&(Y.__=e)}),Kt.push.apply(d.__h,d.__k),d.__k=[],d.__h.length&&i.push(d),a=rt(n);break t}d.componentWillUpdate&&d.componentWillUpdate(_,d.__s,w),g&&d.componentDidUpdate&&d.__h.push(function(){d.componentDidUpdate(m,b,$)})}else g&&!X.getDerivedStateFromProps&&d.componentWillMount&&d.componentWillMount(),g&&d.componentDidMount&&d.__h.push(d.componentDidMount);d.context=w,d.props=_,d.__P=t,d.__g&=-5,A=S.__r,M=g?25:0;do d.__g&=-9,A&&A(e),c=d.render(d.props,d.state=d.__s,d.context);while(8&d.__g&&++M<25);g&&(Kt.push.apply(d.__h,d.__k),d.__k=[]),d.state=d.__s,d.getChildContext&&(o=ct({},o,d.getChildContext())),g&&n.__c&&d.getSnapshotBeforeUpdate&&($=d.getSnapshotBeforeUpdate(m,b)),P=c&&c.type===ut&&c.key==null?c.props.children:c,_.__P&&(c=a,r=(t=_.__P).namespaceURI,l=s=null,n.props&&n.props.__P!=t&&(n.__k.some(function(Y){Y&&ye(Y,Y)}),n.__k=null),a=n.__k?rt(n,0):null),a=tn(t,_e(P)?P:[P],e,n,o,r,s,i,a,l,f),_.__P&&(e.__e=null,a=c),e.__u&=-161,p&&p.some(lt),d.__h.length&&i.push(d),1&d.__g&&(d.__g&=-4)}catch(Y){if(i.length=h,e.__v=null,l||s)if(Y&&Y.then){if(e.__u|=128|l,s){for(~(J=s.indexOf(a||void 0))||(J=s.length);(Z=s[J-1])&&Z.nodeType==8;)J--;for(;J<s.length;J++)if(Z=s[J])if(s[J]=null,I){if(Z==_t)break}else{if(Z.nodeType!=8)break;Z.data.startsWith("$s")&&(_t=qt(I=Z))}}if(!I){for(;a&&a.nodeType==8&&a.nextSibling;)a=a.nextSibling;I=a}(c=qt(I=e.__c.__z||(e.__c.__z=I)))?(e.__e=I,a=c):e.__e=a,a=a&&a.nextSibling}else s&&s.some(lt);else e.__e=n.__e;e.__k||(e.__k=n.__k||[]),Y&&Y.then||nn(e),S.__e(Y,e,n)}}else a=e.__e=Ho(n.__e,e,n,o,r,s,i,l,f,t);return(c=S.diffed)&&c(e),a}function qt(t,e){if(t&&t.nodeType==8&&t.data.startsWith("$s"))for(var n=1;t=t.nextSibling;){if(t.nodeType==8){if(t.data.startsWith("$s"))n++;else if(t.data.startsWith("/$s")&&!--n)return t}e&&e.push(t)}}function nn(t){t&&(t.__c&&(t.__c.__g|=4),t.__k&&t.__k.some(nn))}function on(t,e,n){for(var o=0;o<n.length;)ge(n[o++],n[o++],n[o++]);S.__c&&S.__c(e,t),t.some(function(r){try{t=r.__h,r.__h=[],t.some(function(s){s.call(r)})}catch(s){S.__e(s,r.__v)}})}function Ho(t,e,n,o,r,s,i,a,l,f){var c,p,h,d,m,b,$,_,g=n.props||Gt,y=e.props,w=e.type;if(w=="svg"?r="http://www.w3.org/2000/svg":w=="math"?r="http://www.w3.org/1998/Math/MathML":r||(r="http://www.w3.org/1999/xhtml"),s){for(c=0;c<s.length;c++)if((m=s[c])&&(w?m.localName==w:m.nodeType==3)){t=m,s[c]=null;break}}if(!t){if(_=f.ownerDocument||document,!w)return _.createTextNode(y);t=_.createElementNS(r,w,y.is?y:f),a&&(S.__m&&S.__m(e,s),a=!1),s=null}if(w){if(f=w=="template"&&t.content||t,s=w=="textarea"&&y.defaultValue!=null?null:s&&ve.call(f.childNodes),!a&&s)for(g={},c=0;c<t.attributes.length;c++)g[(m=t.attributes[c]).name]=m.value;for(c in g)m=g[c],c=="dangerouslySetInnerHTML"?h=m:c=="children"||c in y||c=="value"&&"defaultValue"in y||c=="checked"&&"defaultChecked"in y||Wt(t,c,null,m,r);for(c in y)m=y[c],c=="children"?d=m:c=="dangerouslySetInnerHTML"?p=m:c=="value"?b=m:c=="checked"?$=m:a&&typeof m!="function"||g[c]===m||Wt(t,c,m,g[c],r);p?(a||h&&(p.__html==h.__html||p.__html==t.innerHTML)||(t.innerHTML=p.__html),e.__k=[]):(h&&(t.textContent=""),(w=="foreignObject"||r=="http://www.w3.org/1998/Math/MathML"&&Do.test(w))&&(r="http://www.w3.org/1999/xhtml"),tn(f,_e(d)?d:[d],e,n,o,r,s,i,s?s[0]:n.__k&&rt(n,0),a,l),s&&s.some(lt)),a&&w!="textarea"||(c="value",w=="progress"&&b==null?t.removeAttribute(c):b==null||b===t[c]&&(w!="progress"||b)||Wt(t,c,b,g[c],r),c="checked",$!=null&&$!=t[c]&&Wt(t,c,$,g[c],r))}else g===y||a&&t.data==y||(t.data=y);return t}function ge(t,e,n,o){try{typeof t=="function"?e?e.__x=t(e)||1:o&&(o=o.__c||o.__e)&&(e=o.__x)&&(o.__x=null,typeof e=="function"?e():t(null)):t.current=e}catch(r){S.__e(r,n)}}function ye(t,e,n){var o,r,s,i;if(S.unmount&&S.unmount(t),!(o=t.ref)||o.current&&o.current!=t.__e||ge(o,null,e,t),o=t.__c){if(o.componentWillUnmount)try{o.componentWillUnmount()}catch(a){S.__e(a,e)}o.__P=o.__n=null}if(o=t.__k)for(i=0;i<o.length;i++)o[i]&&ye(o[i],e,typeof t.type!="function"||n&&!t.props.__P);!n&&(o=t.__c)&&(o=o.__z)&&(r=qt(o,s=[]))&&(o==t.__e&&s.some(lt),lt(r),lt(o)),n||lt(t.__e),t.__e=t.__c=t.__=null}function Go(t,e,n){return this.constructor(t,n)}function we(t,e){var n,o,r,s;S.__&&S.__(t,e),e.nodeType==9&&(e=e.documentElement),o=(n=t&&32&t.__u)?null:e.__k,e.__k=kt(ut,{children:[t]}),r=[],s=[],be(e,e.__k,o||Gt,Gt,e.namespaceURI,o?null:e.firstChild?ve.call(e.childNodes):null,r,o?o.__e:e.firstChild,n,s),on(r,e.__k,s),e.__k.props.children=null}S={__e:function(t,e,n,o){for(var r,s,i;e=e.__;)if((r=e.__c)&&!(1&r.__g)){r.__g|=4;try{if((i=(s=r.constructor)&&s.getDerivedStateFromError)&&r.setState(s.getDerivedStateFromError(t)),r.componentDidCatch&&(r.componentDidCatch(t,o||{}),i=1),i&&8&r.__g)return void(r.__g|=2)}catch(a){t=a}}throw Ht=0,t}},Je=0,me=function(t){return t!=null&&t.constructor===xt},Q.prototype.setState=function(t,e){var n=this.__s;n&&n!=this.state||(n=this.__s=ct({},this.state)),typeof t=="function"&&(t=t(ct({},n),this.props)),t&&(ct(n,t),this.__v&&(e&&this.__k.push(e),Ke(this)))},Q.prototype.forceUpdate=function(t){this.__v&&(this.__g|=4,t&&this.__h.push(t),Ke(this))},Q.prototype.render=ut,st=[],Ht=0,Ye=function(t,e){return t.__v.__b-e.__v.__b},zt=Symbol(),Xe=/(PointerCapture)$|Capture$/i,$e=0,he={},Oo=0;var rn=function(t,e,n,o){var r;e[0]=0;for(var s=1;s<e.length;s++){var i=e[s++],a=e[s]?(e[0]|=i?1:2,n[e[s++]]):e[++s];i===3?o[0]=a:i===4?o[1]=Object.assign(o[1]||{},a):i===5?(o[1]=o[1]||{})[e[++s]]=a:i===6?o[1][e[++s]]+=a+"":i?(r=t.apply(a,rn(t,a,n,["",null])),o.push(r),a[0]?e[0]|=2:(e[s-2]=0,e[s]=r)):o.push(a)}return o},sn=new Map;function an(t){var e=sn.get(this);return e||(e=new Map,sn.set(this,e)),(e=rn(this,e.get(t)||(e.set(t,e=(function(n){for(var o,r,s=1,i="",a="",l=[0],f=function(h){s===1&&(h||(i=i.replace(/^\s*\n\s*|\s*\n\s*$/g,"")))?l.push(0,h,i):s===3&&(h||i)?(l.push(3,h,i),s=2):s===2&&i==="..."&&h?l.push(4,h,0):s===2&&i&&!h?l.push(5,0,!0,i):s>=5&&((i||!h&&s===5)&&(l.push(s,0,i,r),s=6),h&&(l.push(s,h,0,r),s=6)),i=""},c=0;c<n.length;c++){c&&(s===1&&f(),f(c));for(var p=0;p<n[c].length;p++)o=n[c][p],s===1?o==="<"?(f(),l=[l],s=3):i+=o:s===4?i==="--"&&o===">"?(s=1,i=""):i=o+i[0]:a?o===a?a="":i+=o:o==='"'||o==="'"?a=o:o===">"?(f(),s=1):s&&(o==="="?(s=5,r=i,i=""):o==="/"&&(s<5||n[c][p+1]===">")?(f(),s===3&&(l=l[0]),s=l,(l=l[0]).push(2,0,s),s=0):o===" "||o==="	"||o===`
`||o==="\r"?(f(),s=2):i+=o),s===3&&i==="!--"&&(s=4,l=l[0])}return f(),l})(t)),e),arguments,[])).length>1?e:e[0]}var u=an.bind(Mt);var Ct,U,ke,ln,xe=Object.is,Vt=0,_n=[],Me=[],N=S,cn=N.__b,un=N.__r,fn=N.diffed,dn=N.__c,pn=N.unmount,hn=N.__;function Ae(t,e){N.__h&&N.__h(U,t,Vt||e),Vt=0;var n=U.__H||(U.__H={__:[],__h:[]});return t>=n.__.length&&n.__.push({}),n.__[t]}function R(t){return Vt=1,Ko(bn,t)}function Ko(t,e,n){var o=Ae(Ct++,2);if(o.t=t,!o.__c&&(o.__=[n?n(e):bn(void 0,e),function(s){var i=(o.__N||o.__)[0],a=o.t(i,s);xe(i,a)||(o.__N=[a,o.__[1]],o.__c.setState({}))}],o.__c=U,!U.__f)){U.__f=!0;var r=U.shouldComponentUpdate;U.shouldComponentUpdate=function(s,i,a){var l=this.__H;if(!l)return!0;var f=!1,c=this.props!=s;if(l.__.some(function(h){h.__N&&(f=!0,xe(h.__[0],h.__N[0])||(c=!0))}),r){var p=r.call(this,s,i,a);return f?p||c:p}return!f||c}}return o.__}function ft(t,e){var n=Ae(Ct++,3);!N.__s&&vn(n.__H,e)&&(n.__P=!0,n.__=t,n.u=e,U.__H.__h.push(n))}function Tt(t){return Vt=5,z(function(){return{current:t}},[])}function z(t,e){var n=Ae(Ct++,7);return vn(n.__H,e)&&(n.__=t(),n.__H=e),n.__}function Vo(){var t;do{for(;t=Me.shift();)try{At(t)}catch(n){N.__e(n,{__:(t=t.__P)&&t.__v})}for(;t=_n.shift();){var e=t.__H;if(t.__P&&e)try{e.__h.some(At),e.__h.some(Se),e.__h=[]}catch(n){e.__h=[],N.__e(n,t.__v)}}}while(Me.length)}N.__b=function(t){U=null,cn&&cn(t)},N.__=function(t,e){t&&e.__k&&e.__k.__m&&(t.__m=e.__k.__m),hn&&hn(t,e)},N.__r=function(t){un&&un(t),Ct=0;var e=(U=t.__c).__H;e&&(ke==U?U.__h=[]:(e.__h.some(At),e.__h.some(Se),Ct=0),e.__h=[],e.__.some(function(n){n.__N&&(n.__=n.__N),n.u=n.__N=void 0})),ke=U},N.diffed=function(t){fn&&fn(t);var e=t.__c;e&&e.__H&&(e.__H.__h.length&&$n(_n.push(e)),e.__H.__.some(function(n){n.u&&(n.__H=n.u)})),ke=U=null},N.__c=function(t,e){e.some(function(n){try{n.__h.some(At),n.__h=n.__h.filter(function(o){return!o.__||Se(o)})}catch(o){n.__h=[function(){throw o}]}}),dn&&dn(t,e)},N.unmount=function(t){pn&&pn(t);var e,n,o=t.__c;o&&o.__H&&(o.__H.__.some(function(r){try{if(r.__P&&r.__c){if(n===void 0){for(n=t.__;n&&(!n.__c||!n.__c.__P);)n=n.__;n=n&&n.__c}r.__P=n,$n(Me.push(r))}else At(r)}catch(s){e=s}}),o.__H=void 0,e&&N.__e(e,o.__v))};var mn=typeof requestAnimationFrame=="function";function Jo(t){var e,n=function(){clearTimeout(o),mn&&cancelAnimationFrame(e),setTimeout(t)},o=setTimeout(n,35);mn&&(e=requestAnimationFrame(n))}function $n(t){t!=1&&ln==N.requestAnimationFrame||((ln=N.requestAnimationFrame)||Jo)(Vo)}function At(t){var e=U,n=t.__c;typeof n=="function"&&(t.__c=void 0,n()),U=e}function Se(t){var e=U;t.__c=t.__(),U=e}function vn(t,e){return!t||t.length!=e.length||e.some(function(n,o){return!xe(n,t[o])})}function bn(t,e){return typeof e=="function"?e(t):e}var Yo=Symbol.for("preact-signals");function Zt(){if(tt>1)tt--;else{var t,e=!1;for((function(){var r=Yt;for(Yt=void 0;r!==void 0;){var s=r.S;if(s.v===r.v)for(var i=s.t;i!==void 0;i=i.x)i.i===r.i&&(i.i=s.i);r=r.o}})();Et!==void 0;){var n=Et;for(Et=void 0,Jt++;n!==void 0;){var o=n.u;if(n.u=void 0,n.f&=-3,!(8&n.f)&&yn(n))try{n.c()}catch(r){e||(t=r,e=!0)}n=o}}if(Jt=0,tt--,e)throw t}}function Te(t){if(tt>0)return t();Ce=++Xo,tt++;try{return t()}finally{Zt()}}var Rt,T=void 0;function Pt(t){var e=T,n=Rt;T=void 0,Rt=void 0;try{return t()}finally{T=e,Rt=n}}var Et=void 0,tt=0,Jt=0,Xo=0,Ce=0,Yt=void 0,Xt=0;function gn(t){if(T!==void 0){var e=t.n;if(e===void 0||e.t!==T)return e={i:0,S:t,p:T.s,n:void 0,t:T,e:void 0,x:void 0,r:e},T.s!==void 0&&(T.s.n=e),T.s=e,t.n=e,32&T.f&&t.S(e),e;if(e.i===-1)return e.i=0,e.n!==void 0&&(e.n.p=e.p,e.p!==void 0&&(e.p.n=e.n),e.p=T.s,e.n=void 0,T.s.n=e,T.s=e),e}}function L(t,e){this.v=t,this.i=0,this.n=void 0,this.t=void 0,this.l=0,this.W=e?.watched,this.Z=e?.unwatched,this.name=e?.name}L.prototype.brand=Yo;L.prototype.h=function(){return!0};L.prototype.S=function(t){var e=this,n=this.t;n!==t&&t.e===void 0&&(t.x=n,this.t=t,n!==void 0?n.e=t:Pt(function(){var o;(o=e.W)==null||o.call(e)}))};L.prototype.U=function(t){var e=this;if(this.t!==void 0){var n=t.e,o=t.x;n!==void 0&&(n.x=o,t.e=void 0),o!==void 0&&(o.e=n,t.x=void 0),t===this.t&&(this.t=o,o===void 0&&Pt(function(){var r;(r=e.Z)==null||r.call(e)}))}};L.prototype.subscribe=function(t){var e=this;return et(function(){var n=e.value;Pt(function(){return t(n)})},{name:"sub"})};L.prototype.valueOf=function(){return this.value};L.prototype.toString=function(){return this.value+""};L.prototype.toJSON=function(){return this.value};L.prototype.peek=function(){var t=this;return Pt(function(){return t.value})};Object.defineProperty(L.prototype,"value",{get:function(){var t=gn(this);return t!==void 0&&(t.i=this.i),this.v},set:function(t){if(t!==this.v){if(Jt>100)throw new Error("Cycle detected");(function(n){tt!==0&&Jt===0&&n.l!==Ce&&(n.l=Ce,Yt={S:n,v:n.v,i:n.i,o:Yt})})(this),this.v=t,this.i++,Xt++,tt++;try{for(var e=this.t;e!==void 0;e=e.x)e.t.N()}finally{Zt()}}}});function it(t,e){return new L(t,e)}function yn(t){for(var e=t.s;e!==void 0;e=e.n)if(e.S.i!==e.i||!e.S.h()||e.S.i!==e.i)return!0;return!1}function wn(t){for(var e=t.s;e!==void 0;e=e.n){var n=e.S.n;if(n!==void 0&&(e.r=n),e.S.n=e,e.i=-1,e.n===void 0){t.s=e;break}}}function kn(t){for(var e=t.s,n=void 0;e!==void 0;){var o=e.p;e.i===-1?(e.S.U(e),o!==void 0&&(o.n=e.n),e.n!==void 0&&(e.n.p=o)):n=e,e.S.n=e.r,e.r!==void 0&&(e.r=void 0),e=o}t.s=n}function dt(t,e){L.call(this,void 0,e),this.x=t,this.s=void 0,this.g=Xt-1,this.f=4}dt.prototype=new L;dt.prototype.h=function(){if(this.f&=-3,1&this.f)return!1;if((36&this.f)==32||(this.f&=-5,this.g===Xt))return!0;if(this.g=Xt,this.f|=1,this.i>0&&!yn(this))return this.f&=-2,!0;var t=T;try{wn(this),T=this;var e=this.x();(16&this.f||this.v!==e||this.i===0)&&(this.v=e,this.f&=-17,this.i++)}catch(n){this.v=n,this.f|=16,this.i++}return T=t,kn(this),this.f&=-2,!0};dt.prototype.S=function(t){if(this.t===void 0){this.f|=36;for(var e=this.s;e!==void 0;e=e.n)e.S.S(e)}L.prototype.S.call(this,t)};dt.prototype.U=function(t){if(this.t!==void 0&&(L.prototype.U.call(this,t),this.t===void 0)){this.f&=-33;for(var e=this.s;e!==void 0;e=e.n)e.S.U(e)}};dt.prototype.N=function(){if(!(2&this.f)){this.f|=6;for(var t=this.t;t!==void 0;t=t.x)t.t.N()}};Object.defineProperty(dt.prototype,"value",{get:function(){if(1&this.f)throw new Error("Cycle detected");var t=gn(this);if(this.h(),t!==void 0&&(t.i=this.i),16&this.f)throw this.v;return this.v}});function Qt(t,e){return new dt(t,e)}function xn(t){var e=t.j;if(t.j=void 0,typeof e=="function"){tt++;var n=T;T=void 0;try{e()}catch(o){throw t.f&=-2,t.f|=8,Re(t),o}finally{T=n,Zt()}}}function Re(t){for(var e=t.s;e!==void 0;e=e.n)e.S.U(e);t.x=void 0,t.s=void 0,xn(t)}function Zo(t){if(T!==this)throw new Error("Out-of-order effect");kn(this),T=t,this.f&=-2;try{8&this.f&&Re(this)}finally{Zt()}}function vt(t,e){this.x=t,this.j=void 0,this.s=void 0,this.u=void 0,this.f=32,this.name=e?.name,Rt&&Rt.push(this)}vt.prototype.c=function(){var t=this.S();try{if(8&this.f||this.x===void 0)return;var e=this.x();typeof e=="function"&&(this.j=e)}finally{t()}};vt.prototype.S=function(){if(1&this.f)throw new Error("Cycle detected");this.f|=1,this.f&=-9,xn(this),wn(this),tt++;var t=T;return T=this,Zo.bind(this,t)};vt.prototype.N=function(){2&this.f||(this.f|=2,this.u=Et,Et=this)};vt.prototype.d=function(){this.f|=8,1&this.f||Re(this)};vt.prototype.dispose=function(){this.d()};function et(t,e){var n=new vt(t,e);try{n.c()}catch(r){throw n.d(),r}var o=n.d.bind(n);return o[Symbol.dispose]=o,o}var Mn,ee,te,Qo=typeof window<"u"&&!!window.__PREACT_SIGNALS_DEVTOOLS__;var Sn=[];et(function(){Mn=this.N})();function bt(t,e){S[t]=e.bind(null,S[t]||function(){})}function Nt(t){if(te){var e=te;te=void 0,e()}te=t&&t.S()}function An(t){var e=this,n=t.data,o=Ee(n);o.name="ReactiveDom",o.value=n;var r=z(function(){for(var a=e,l=e.__v;l=l.__;)if(l.__c){l.__c.__$f|=4;break}var f=Qt(function(){var d=o.value.value;return d===0?0:d===!0?"":d||""}),c=Qt(function(){return!Array.isArray(f.value)&&!me(f.value)}),p=et(function(){if(this.N=Cn,c.value){var d=f.value;a.__v&&a.__v.__e&&a.__v.__e.nodeType===3&&(a.__v.__e.data=d)}}),h=e.__$u.d;return e.__$u.d=function(){p(),h.call(this)},[c,f]},[]),s=r[0],i=r[1];return s.value?i.peek():i.value}An.displayName="ReactiveTextNode";Object.defineProperties(L.prototype,{constructor:{configurable:!0,value:Mt(ut,null).constructor},type:{configurable:!0,value:An},props:{configurable:!0,get:function(){var t=this;return{data:{get value(){return t.value}}}}},__b:{configurable:!0,value:1}});bt("__b",function(t,e){if(Nt(),ee=void 0,typeof e.type=="string"){var n,o=e.props;for(var r in o)if(r!=="children"){var s=o[r];s instanceof L&&(n||(e.__np=n={}),n[r]=s,o[r]=s.peek())}}t(e)});bt("__r",function(t,e){if(t(e),e.type!==ut){Nt();var n,o=e.__c;o&&(o.__$f&=-2,(n=o.__$u)===void 0&&(o.__$u=n=(function(r,s){var i;return et(function(){i=this},{name:s}),i.c=r,i})((function(r){return function(){var s;Qo&&((s=this.y)==null||s.call(this)),r.__$f|=1,r.setState({})}})(o),typeof e.type=="function"?e.type.displayName||e.type.name:""))),ee=o,Nt(n)}});bt("__e",function(t,e,n,o){Nt(),ee=void 0,t(e,n,o)});bt("diffed",function(t,e){Nt(),ee=void 0;var n;if(typeof e.type=="string"&&(n=e.__e)){var o=e.__np,r=e.props,s=n.U;if(s)for(var i in s){var a=s[i];a===void 0||o&&i in o||(a.d(),s[i]=void 0)}if(o){s||(s={},n.U=s);for(var l in o){var f=s[l],c=o[l];f===void 0?(f=ts(n,l,c,r),s[l]=f):f.o(c,r)}}}t(e)});function ts(t,e,n,o){var r=e in t&&t.ownerSVGElement===void 0,s=it(n);return{o:function(i,a){s.value=i,o=a},d:et(function(){this.N=Cn;var i=s.value.value;o[e]!==i&&(o[e]=i,r?t[e]=i:i!=null&&(i!==!1||e[4]==="-")?t.setAttribute(e,i):t.removeAttribute(e))})}}bt("unmount",function(t,e){if(typeof e.type=="string"){var n=e.__e;if(n){var o=n.U;if(o){n.U=void 0;for(var r in o){var s=o[r];s&&s.d()}}}var i=e.__np;if(i){var a=e.props;for(var l in i)a[l]=i[l]}e.__np=void 0}else{var f=e.__c;if(f){f.__$f|=8;var c=f.__$u;c&&(f.__$u=void 0,c.d())}}t(e)});bt("__h",function(t,e,n,o){o<3&&(e.__$f|=2),t(e,n,o)});Q.prototype.shouldComponentUpdate=function(t,e){if(this.__R)return!0;var n=this.__$u,o=n&&n.s!==void 0;for(var r in e)return!0;if(this.__f||typeof this.u=="boolean"&&this.u===!0){var s=2&this.__$f;if(!(o||s||4&this.__$f)||1&this.__$f)return!0}else if(!(o||4&this.__$f)||3&this.__$f)return!0;for(var i in t)if(i!=="__source"&&t[i]!==this.props[i])return!0;for(var a in this.props)if(!(a in t))return!0;return!1};function Ee(t,e){return z(function(){return it(t,e)},[])}var es=function(t){queueMicrotask(function(){queueMicrotask(t)})};function ns(){Te(function(){for(var t;t=Sn.shift();)Mn.call(t)})}function Cn(){Sn.push(this)===1&&(S.requestAnimationFrame||es)(ns)}var gt=JSON.parse(document.getElementById("records").textContent),os=new URLSearchParams(location.search).get("token")??"",Ut=new Map,{served:Lt,start:ne}=gt,Fr=Object.keys(gt.records),Tn=gt.files??{},B=t=>Lt||t in gt.records,Rn={i1:Int8Array,u1:Uint8Array,i2:Int16Array,u2:Uint16Array,i4:Int32Array,u4:Uint32Array,f4:Float32Array,f8:Float64Array};async function En(t){let e=new Blob([t]).stream().pipeThrough(new DecompressionStream("deflate")),n=await new Response(e).arrayBuffer(),o=new DataView(n).getUint32(0,!0),r=4+o;return JSON.parse(new TextDecoder().decode(new Uint8Array(n,4,o)),(s,i)=>i&&i.$ in Rn?new Rn[i.$](n,r+i.at,i.n):i)}var ss=t=>Uint8Array.from(atob(t),e=>e.charCodeAt(0));async function Pe(t,e={}){let n={...e.headers,Authorization:`Bearer ${os}`},o=await fetch(t,{...e,headers:n,cache:"no-store"});if(o.ok||o.status===409)return o;throw new Error(await o.text()||`the server answered ${o.status}`)}async function rs(t){if(t in gt.records)return En(ss(gt.records[t]));if(!Lt)throw new Error(`This file does not hold ${t}.`);let e=t.split("/").map(encodeURIComponent).join("/");return En(await(await Pe(`api/record/${e}`)).arrayBuffer())}function is(t){if(!Ut.has(t)){let e=rs(t);Ut.set(t,e),e.catch(()=>Ut.delete(t))}return Ut.get(t)}var It=t=>Ut.delete(t);function K(t){let e=`#/${t.split("/").map(encodeURIComponent).join("/")}`;return B(t)?e:Tn[t]?encodeURIComponent(Tn[t])+e:""}function C(t,e=0){let[n,o]=R({});return ft(()=>{let r=!0;return t?(o(s=>s.key===t?s:{}),is(t).then(s=>r&&o({key:t,value:s}),s=>r&&o({key:t,error:s.message})),()=>r=!1):o({})},[t,e]),t&&n.key===t?n:{}}var oe=t=>{let[e,n=""]=t.replace(/^#\/?/,"").split("?");return{parts:e.split("/").filter(Boolean).map(as),params:Object.fromEntries(new URLSearchParams(n))}};function as(t){try{return decodeURIComponent(t)}catch{return t}}var q=it(oe(location.hash||ne));addEventListener("hashchange",()=>q.value=oe(location.hash||ne));function O(t,e={}){let n=Object.entries(e).filter(([,r])=>r!==""&&r!=null),o=new URLSearchParams(n).toString().replaceAll("%2C",",");return`#/${t.map(encodeURIComponent).join("/")}${o?`?${o}`:""}`}function E(t,{step:e=!1}={}){let{parts:n,params:o}=q.value;Pn(O(n,{...o,...t}),e?"pushState":"replaceState")}function Pn(t,e){try{history[e](null,"",t)}catch{}q.value=oe(t)}addEventListener("click",t=>{let e=t.target.closest?.("a")?.getAttribute("href"),n=t.ctrlKey||t.metaKey||t.shiftKey;!e?.startsWith("#/")||t.defaultPrevented||n||(t.preventDefault(),Pn(e,"pushState"),scrollTo(0,0))});addEventListener("popstate",()=>q.value=oe(location.hash||ne));var Nn=t=>(t??"").split(",").filter(Boolean).map(Number).filter(Number.isInteger);var ls=/[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]/gu,yt=t=>String(t??"").replace(ls,e=>e===`
`?"\u23CE":`\\u${e.charCodeAt(0).toString(16).padStart(4,"0")}`),x=t=>yt(t).replace(/^ | $/g,"\u2423")||"\u2205";function v(t,e=200){let n=yt(t);return n.length>e?`${n.slice(0,e)}\u2026`:n}function k(t,e=3){if(t==null||Number.isNaN(t))return"\u2013";let n=Math.abs(t);return n!==0&&(n<.001||n>=1e5)?t.toExponential(1).replace("-","\u2212"):t.toFixed(n>=100?1:e).replace("-","\u2212")}var D=t=>`${(100*t).toFixed(t<.1?1:0)} %`,se=t=>(t??"").slice(0,12),F=(t,e)=>`${t.toLocaleString("en")} ${e}${t===1?"":"s"}`;var Un="circuitstore.theme",Ne=matchMedia("(prefers-color-scheme: dark)"),Ue=Le(Un),nt=it(Ue?Ue==="dark":Ne.matches),Ln=!!Ue;Ne.addEventListener("change",()=>Ln||(nt.value=Ne.matches));et(()=>document.documentElement.dataset.theme=nt.value?"dark":"light");function In(){Ln=!0,nt.value=!nt.value,re(Un,nt.value?"dark":"light")}function Le(t){try{return localStorage.getItem(t)}catch{return null}}function re(t,e){try{return e?localStorage.setItem(t,e):localStorage.removeItem(t),!0}catch{return!1}}function W({error:t}){return t?u`<p class="problem" role="alert">${yt(t)}</p>`:u`<p class="note waiting" role="status">Reading …</p>`}function Fn({tokens:t,values:e,most:n}){return u`<span class="tokens"
    >${t.map((o,r)=>{let s=e.get(r-t.length)??0,i=s>0?Math.max(1,Math.round(9*s/n)):0;return u`<span
        class=${`token heat${i}`}
        title=${s?`activation ${s.toFixed(3)}`:void 0}
        ><bdi>${x(o)}</bdi></span
      >`})}</span
  >`}var pt=({head:t,rows:e,label:n})=>u`<div class="scroll" tabindex="0" role="group" aria-label=${n}>
    <table aria-label=${n}>
      <thead>
        <tr>
          ${t.map(o=>u`<th scope="col">${o}</th>`)}
        </tr>
      </thead>
      <tbody>
        ${e}
      </tbody>
    </table>
  </div>`,jn=({value:t})=>u`<svg class="bar" width="90" height="10" aria-hidden="true">
    <line x1="45" y1="0" x2="45" y2="10" class="axis" />
    <rect
      class=${t<0?"down":"up"}
      x=${t<0?45+44*Math.max(t,-1):45}
      y="1"
      width=${44*Math.min(Math.abs(t),1)}
      height="8"
    />
  </svg>`;function Dn({behaviour:t}){let{value:e,error:n}=C(`behaviour/${t}`);if(!e)return u`<${W} error=${n} />`;let o=e.prompts.some(({id:r,graph:s})=>s&&K(`graph/${t}/${r}`));return u`<main class="page">
    <h1><bdi>${v(t)}</bdi> <span class="faint">${e.profile}</span></h1>
    <p class="row">
      ${"circuit"in e.phases&&K(`circuit/${t}`)&&u`<a class="button" href=${K(`circuit/${t}`)}>Aggregated graph</a>`}
      ${"interpretation"in e.phases&&K(`features/${t}`)&&u`<a class="button" href=${K(`features/${t}`)}>Features and their labels</a>`}
    </p>
    <${cs} ...${{value:e}} />
    <section>
      <h2>Prompts</h2>
      ${o&&u`<p class="note">A prompt leads to its graph.</p>`}<${ps}
        ...${{value:e,behaviour:t}}
      />
    </section>
    <section>
      <h2>What each phase says</h2>
      <${hs} ...${{value:e,behaviour:t}} />
    </section>
    ${e.figures.length>0&&u`<section>
        <h2>Figures</h2>
        <${ms} ...${{value:e,behaviour:t}} />
      </section>`}
  </main>`}function cs({value:t}){let e=t.phases.baseline;return e?u`<section>
    <h2>Baseline</h2>
    <dl class="facts">
      <div>
        <dt>accuracy</dt>
        <dd>${D(e.accuracy)}</dd>
      </div>
      <div>
        <dt>answer most probable</dt>
        <dd>${D(e.top1_accuracy)}</dd>
      </div>
      <div title="logit of the correct answer less that of the incorrect one">
        <dt>mean margin</dt>
        <dd>${k(e.mean_logit_difference,2)} nats</dd>
      </div>
      <div>
        <dt>gate</dt>
        <dd class=${e.gate?"problem":""}>${e.gate||"passed"}</dd>
      </div>
      ${us(t)}
    </dl>
    <${ds} ...${{value:t}} />
  </section>`:u`<p class="note">The baseline is not built.</p>`}function us({phases:t}){let e=t.attribution;return e?u`<div>
      <dt>replacement</dt>
      <dd>${k(e.replacement_score)}</dd>
    </div>
    <div>
      <dt>completeness</dt>
      <dd>${k(e.completeness_score)}</dd>
    </div>`:null}var fs=t=>8+t*37%(ie-16),On=640,ie=64;function ds({value:t}){let e=[...t.margin].filter(Number.isFinite);if(!e.length)return null;let[n,o]=[Math.min(...e),Math.max(...e)].map(a=>k(a,1)),r=Math.min(0,...e),s=Math.max(0,...e),i=a=>10+(On-20)*(a-r)/(s-r||1);return u`<div class="scroll" tabindex="0" role="group" aria-label="Margins, to scroll">
      <svg
        class="margins"
        width=${On}
        height=${ie+20}
        role="img"
        aria-label=${`Margins of ${e.length} prompts, from ${n} to ${o} nats`}
      >
        <line class="axis" x1=${i(0)} x2=${i(0)} y1="0" y2=${ie} />
        ${t.prompts.map(({id:a,text:l,split:f},c)=>Number.isFinite(t.margin[c])&&u`<circle key=${a} class=${f} cx=${i(t.margin[c])} cy=${fs(c)} r="4">
            <title>${v(l,80)} ${k(t.margin[c],2)}</title>
          </circle>`)}
        ${[...new Set([r,0,s])].map(a=>u`<text x=${i(a)} y=${ie+14} text-anchor=${a===s?"end":"start"}>
            ${k(a,1)}
          </text>`)}
      </svg>
    </div>
    <p class="note">
      <span class="mark circle train"></span> train <span class="mark circle test"></span> test; margin in
      nats, right of 0 the answer is right
    </p>`}function ps({value:t,behaviour:e}){let n=(q.value.params.q??"").toLowerCase(),o=t.prompts.map((r,s)=>({...r,margin:t.margin[s]})).filter(({text:r,id:s})=>`${r} ${s}`.toLowerCase().includes(n));return u`<input
      type="search"
      aria-label="Find prompts"
      placeholder="find prompts"
      value=${n}
      onInput=${r=>E({q:r.currentTarget.value})}
    />
    <${pt}
      label="Prompts"
      head=${["prompt","answer","not","split","margin","most probable"]}
      rows=${o.map(({id:r,text:s,correct:i,incorrect:a,split:l,margin:f,graph:c,top:p})=>u`<tr key=${r}>
            <td>
              ${c&&K(`graph/${e}/${r}`)?u`<a href=${K(`graph/${e}/${r}`)}><bdi>${v(s,120)}</bdi></a>`:u`<bdi>${v(s,120)}</bdi>`}
            </td>
            <td><bdi>${x(i)}</bdi></td>
            <td><bdi>${x(a)}</bdi></td>
            <td>${v(l,20)}</td>
            <td class=${`number ${f<0?"problem":""}`}>${k(f,2)}</td>
            <td class="faint">
              ${p.slice(0,3).map(([h,d])=>`${x(h)} ${D(Math.exp(d))}`).join("  ")}
            </td>
          </tr>`)}
    />`}function hs({value:t,behaviour:e}){return u`<ul class="phases">
    ${Object.entries(t.phases).map(([n,o])=>u`<li key=${n}>
          <details>
            <summary>${v(n)}</summary>
            ${B(`provenance/${e}/${n}`)&&u`<p><a href=${O(["provenance",e,n])}>what it was made from</a></p>`}
            <${Bn} value=${o} />
          </details>
        </li>`)}
  </ul>`}var Bn=({value:t})=>Object.keys(t).length===0?u`<p class="note">nothing of the whole</p>`:u`<dl class="tree">
        ${Object.entries(t).map(([e,n])=>u`<div>
              <dt>${v(e,60)}</dt>
              <dd>
                ${n&&typeof n=="object"?u`<${Bn} value=${n} />`:typeof n=="number"?Number.isInteger(n)?n:k(n):v(n||"\u2013",200)}
              </dd>
            </div>`)}
      </dl>`;function ms({value:t,behaviour:e}){let n=t.figures.filter(({name:r})=>B(`figure/${e}/${r}`)),o=q.value.params.figure??n[0]?.name;return u`<div class="row">
      <select
        aria-label="Figure"
        value=${o}
        onChange=${r=>E({figure:r.currentTarget.value})}
      >
        ${n.map(({name:r,title:s,section:i})=>u`<option key=${r} value=${r}>${i}: ${v(s,90)}</option>`)}
      </select>
      <span class="faint">${F(t.figures.length,"figure")}</span>
    </div>
    ${o&&u`<${$s} key=${o} ...${{behaviour:e}} name=${o} />`}`}function $s({behaviour:t,name:e}){let{value:n,error:o}=C(`figure/${t}/${e}`),[r,s]=R("");return ft(()=>{if(!n?.kind)return;let i=URL.createObjectURL(new Blob([n.picture],{type:n.kind}));return s(i),()=>URL.revokeObjectURL(i)},[n]),n?u`<figure>
    ${r&&u`<img src=${r} alt=${v(n.title,300)} />`}
    <figcaption>
      <b><bdi>${v(n.title,300)}</bdi></b> <bdi>${v(n.caption,2e3)}</bdi>
      <details>
        <summary>drawn from</summary>
        <pre>${n.provenance.split(`
`).map(yt).join(`
`)}</pre>
      </details>
    </figcaption>
  </figure>`:u`<${W} error=${o} />`}var ot=14,_s=200;function Wn({feature:t,behaviour:e}){let{prompt:n,position:o,value:r}=t.activations??{};if(!n?.length)return u`<p class="note">None is stored.</p>`;let s=new Map,i=-1,a=0;for(let h=0;h<n.length;h++)s.has(n[h])?s.get(n[h]).push([o[h],r[h]]):s.set(n[h],[[o[h],r[h]]]),i=Math.min(i,o[h]),a=Math.max(a,r[h]);let l=[...s].sort((h,d)=>Math.max(...d[1].map(([,m])=>m))-Math.max(...h[1].map(([,m])=>m))).slice(0,_s),f=-i,c=l.length*ot,p=`${s.size} prompts; the largest activation is ${k(a)}`;return u`<div class="scroll" tabindex="0" role="group" aria-label="Activations, to scroll">
    <svg class="heat" role="img" aria-label=${p} width=${f*3*ot+420} height=${c+24}>
      ${Array.from({length:f},(h,d)=>u`<text x=${(d+.5)*3*ot} y="14" text-anchor="middle" class="faint">
          ${d-f}
        </text>`)}
      ${l.map(([h,d],m)=>{let{tokens:b,text:$}=e.prompts[h];return u`<g key=${h} transform=${`translate(0,${20+m*ot})`}>
          ${d.map(([_,g])=>u`<rect
                class=${`heat${Math.max(1,Math.round(9*g/a))}`}
                x=${(_+f)*3*ot}
                width=${3*ot-1}
                height=${ot-1}
              >
                <title>${x(b[b.length+_])} ${k(g)}</title></rect
              >`)}
          <text x=${f*3*ot+8} y=${ot-4}>${v($,70)}</text></g
        >`})}
    </svg>
  </div>`}var Ie=240,ht=20;function Fe({list:t,behaviour:e,small:n=!1}){if(!t.length)return u`<p class="note">It was edited alone in no prompt.</p>`;let o=t.flatMap(({base:l,edited:f,control:c})=>[l,...f,...c]).filter(Number.isFinite),r=Math.min(...o),s=Math.max(...o),i=l=>6+(Ie-12)*(l-r)/(s-r||1),{kinds:a}=t[0];return u`${!n&&u`<${vs} ...${{low:r,high:s}} />`}
    <div class="scroll" tabindex="0" role="group" aria-label="Interventions, to scroll">
      <table aria-label="Interventions on this feature">
        <thead>
          <tr>
            <th scope="col">prompt</th>
            <th scope="col">margin</th>
            ${!n&&u`<th scope="col">as it is</th>
                ${a.map(l=>u`<th scope="col">${v(l,40)}</th>`)}
                <th scope="col">controls</th>`}
          </tr>
        </thead>
        <tbody>
          ${t.map(({prompt:l,position:f,base:c,edited:p,control:h})=>{let d=e.prompts[l],m=[...h].filter(Number.isFinite),b=m.reduce((y,w)=>y+w,0)/m.length,$=`${k(p[0],2)} with the feature zeroed`,_=`${k(b,2)} with random ones zeroed`,g=`${k(c,2)} as it is, ${$}, ${_}`;return u`<tr key=${`${l}/${f}`}>
              <td>
                <bdi title=${d.text}>${v(d.text,n?26:60)}</bdi
                >${!n&&u` <span class="faint">at ${x(d.tokens[f])}</span>`}
              </td>
              <td>
                <svg width=${Ie} height=${ht} role="img" aria-label=${g}>
                  <title>${g}</title>
                  ${r<0&&s>0&&u`<line class="axis" x1=${i(0)} x2=${i(0)} y1="0" y2=${ht} />`}
                  <line class="axis" x1="6" x2=${Ie-6} y1=${ht/2} y2=${ht/2} />
                  ${m.map(y=>u`<line class="control" x1=${i(y)} x2=${i(y)} y1="4" y2=${ht-4} />`)}
                  <rect class="base" x=${i(c)-3.5} y=${ht/2-3.5} width="7" height="7" />
                  ${Number.isFinite(p[0])&&u`<circle class="edited" cx=${i(p[0])} cy=${ht/2} r="4.5" />`}
                </svg>
              </td>
              ${!n&&u`<td class="number">${k(c,2)}</td>
                  ${a.map((y,w)=>u`<td class="number">${k(p[w],2)}</td>`)}
                  <td class="number">${k(b,2)}</td>`}
            </tr>`})}
        </tbody>
      </table>
    </div>`}var vs=({low:t,high:e})=>u`<p class="note">
  Margin in nats: <span class="mark square ink"></span> as it is,
  ${" "}<span class="mark circle feature"></span> feature zeroed,
  ${" "}<span class="mark bars"></span> matched random features zeroed. Attention is free to change. The axis
  runs from ${k(t,1)} to ${k(e,1)}.
</p>`;var zn=4;function Gn({behaviour:t,layer:e,feature:n}){let o=C(`feature/${t}/${e}/${n}`),r=C(`behaviour/${t}`);return!o.value||!r.value?u`<${W} error=${o.error??r.error} />`:u`<${bs} key=${`${e}/${n}`} feature=${o.value} behaviour=${r.value} />`}var qn=t=>t.reviewer_label||t.label||"";function bs({feature:t,behaviour:e}){let{graphs:n,twin:o}=t;return u`<main class="page feature">
    <h1>Feature L${t.layer} #${t.feature}</h1>
    <${Kn} feature=${t} />
    <dl class="facts">
      ${t.active_prompts!=null&&u`<div>
            <dt>active in</dt>
            <dd>${t.active_prompts} of ${F(e.prompts.length,"prompt")}</dd>
          </div>
          <div title="over the prompts in which it is active">
            <dt>mean activation</dt>
            <dd>${k(t.mean_activation)}</dd>
          </div>
          <div>
            <dt>largest</dt>
            <dd>${k(t.max_activation)}</dd>
          </div>
          <div>
            <dt>confidence of label</dt>
            <dd>${k(t.confidence,2)}</dd>
          </div>`}
      ${o&&(o[0]!==t.layer||o[1]!==t.feature)&&u`<div title="it reads and writes the same directions">
          <dt>same as</dt>
          <dd>L${o[0]} #${o[1]}</dd>
        </div>`}
    </dl>
    <div class="columns">
      <section>
        <h2>Top prompts</h2>
        <${Vn} ...${{feature:t,behaviour:e}} />
      </section>
      <section>
        <h2>Goes with</h2>
        <${gs} list=${t.associations??[]} />
      </section>
      <section>
        <h2>Promotes</h2>
        <${Hn} list=${t.promoted??[]} />
      </section>
      <section>
        <h2>Suppresses</h2>
        <${Hn} list=${t.suppressed??[]} />
      </section>
    </div>
    <section>
      <h2>Interventions on it</h2>
      <${Fe} list=${t.interventions} behaviour=${e} />
    </section>
    <section>
      <h2>Activations over prompts and positions</h2>
      <${Wn} ...${{feature:t,behaviour:e}} />
    </section>
    ${n&&u`<section>
        <h2>Graphs it is in</h2>
        <${ys} ...${{graphs:n,behaviour:e}} />
      </section>`}
  </main>`}function ae({feature:t,behaviour:e}){return u`<div class="summary">
    ${t.reviewer&&u`<${Kn} feature=${t} />`}
    <h3>Top prompts</h3>
    <${Vn} ...${{feature:t,behaviour:e}} most=${zn} />
    <h3>Promotes</h3>
    <p>${(t.promoted??[]).map(([n])=>u`<bdi class="chip">${x(n)}</bdi> `)}</p>
    <h3>Suppresses</h3>
    <p>${(t.suppressed??[]).map(([n])=>u`<bdi class="chip">${x(n)}</bdi> `)}</p>
    ${t.interventions.length>0&&u`<h3>Zeroed, beside random features</h3>
        <${Fe} list=${t.interventions.slice(0,zn)} behaviour=${e} small />`}
  </div>`}function Kn({feature:t}){return u`<p class="label">
    ${qn(t)?u`<bdi>${v(qn(t),500)}</bdi>`:u`<span class="faint">no label</span>`}
    ${t.reviewer&&u` <span class="faint"
        >by <bdi>${v(t.reviewer,60)}</bdi>; automatic: <bdi>${v(t.label,90)}</bdi></span
      >`}
    ${t.reviewer_note&&u`<br /><bdi class="faint">${v(t.reviewer_note,500)}</bdi>`}
  </p>`}function Vn({feature:t,behaviour:e,most:n=20}){let{prompt:o,position:r,value:s}=t.activations??{prompt:[],position:[],value:[]},i=Math.max(t.max_activation??0,...s,1e-9),a=(t.top??[]).slice(0,n).map(([l,f,c])=>{let p=new Map([[f,c]]);for(let $=0;$<o.length;$++)o[$]===l&&p.set(r[$],s[$]);let{tokens:h,id:d}=e.prompts[l],m=u`<${Fn} tokens=${h} values=${p} most=${i} />`,b=`graph/${e.behaviour}/${d}`;return u`<li key=${l}>
      <span class="number">${k(c,2)}</span>
      ${K(b)&&e.prompts[l].graph?u`<a href=${K(b)}>${m}</a>`:m}
    </li>`});return u`<ul class="top">
    ${a}
  </ul>`}function gs({list:t}){return t.length?u`<${pt}
    label="What the feature goes with"
    head=${["category","effect","as a bar","q","size"]}
    rows=${t.map(({category:e,effect:n,q:o,size:r,level:s})=>u`<tr class=${o<=.05?"":"weak"}>
          <td title=${s}><bdi>${v(e,80)}</bdi></td>
          <td class="number">${k(n,2)}</td>
          <td><${jn} value=${n} /></td>
          <td class="number">${k(o)}</td>
          <td class="number">${r}</td>
        </tr>`)}
  />`:u`<p class="note">Active in too few prompts to test.</p>`}var Hn=({list:t})=>u`<${pt}
    label="Tokens"
    head=${["token","logit"]}
    rows=${t.map(([e,n])=>u`<tr>
          <td><bdi>${x(e)}</bdi></td>
          <td class="number">${k(n,2)}</td>
        </tr>`)}
  />`;function ys({graphs:t,behaviour:e}){let[n,o]=R(!1),r=new Map;t.prompt.forEach((a,l)=>r.set(a,r.get(a)||!!t.kept[l]));let s=[...r].sort((a,l)=>l[1]-a[1]),i=s.filter(([,a])=>a).length;return u`<p>
      ${F(s.length,"graph")}; pruning keeps it in ${i} (${D(i/s.length)}).
      ${s.length>12&&u` <button class="small" onClick=${()=>o(!n)}>${n?"fewer":"all"}</button>`}
    </p>
    <ul class="graphs">
      ${s.slice(0,n?s.length:12).map(([a,l])=>{let{id:f,text:c}=e.prompts[a],p=`graph/${e.behaviour}/${f}`,h=u`<bdi>${v(c,80)}</bdi>`;return u`<li key=${f} class=${l?"":"weak"}>
          ${K(p)?u`<a href=${K(p)}>${h}</a>`:h}${!l&&u` <span class="faint">pruned</span>`}
        </li>`})}
    </ul>`}var H=0,V=1,at=2,le=3,Yn=["feature","error","embedding","logit"],Ft=class{constructor(e){Object.assign(this,e),Object.assign(this,e.nodes),this.size=this.kind.length;let{source:n,target:o,weight:r}=e.edges;Object.assign(this,{source:n,target:o,weight:r,edgeCount:r.length}),this.inputs=Jn(o,this.size),this.outputs=Jn(n,this.size),this.byOriginal=new Map(Array.from(this.original,(i,a)=>[i,a])),this.logitWeight=new Float64Array(this.size);let s=this.size-e.logits.weight.length;e.logits.weight.forEach((i,a)=>this.logitWeight[s+a]=i),this.firstLogit=s,this.order=Array.from({length:this.size},(i,a)=>a),this.order.sort((i,a)=>this.layer[a]-this.layer[i])}strongest(e,n,o,r=1/0){let s=[];for(let i of n.of(e))(!o||o[i])&&s.push(i);return s.sort((i,a)=>Math.abs(this.weight[a])-Math.abs(this.weight[i])),s.slice(0,r)}label(e){return this.kind[e]!==H?"":this.labels[`${this.layer[e]}/${this.feature[e]}`]??""}name(e){let n=x(this.tokens[this.position[e]]);switch(this.kind[e]){case H:return`L${this.layer[e]} #${this.feature[e]}`;case V:return`error L${this.layer[e]}`;case at:return`token ${n}`}let o=this.answers&&this.logits.against?.[0]>=0?` \u2212 ${x(this.answers[1])}`:"";return`output ${x(this.logits.text[e-this.firstLogit])}${o}`}words(e){let n=this.label(e);return n?`${this.name(e)} ${v(n,60)}`:this.name(e)}identity(e){let n=this.roles[this.position[e]]??this.position[e]-this.tokens.length;return`${this.kind[e]}/${this.layer[e]}/${this.feature[e]}/${n}`}};function Jn(t,e){let n=new Uint32Array(e+1);for(let s of t)n[s+1]++;for(let s=0;s<e;s++)n[s+1]+=n[s];let o=n.slice(),r=new Uint32Array(t.length);for(let s=0;s<t.length;s++)r[o[t[s]]++]=s;return{of:s=>r.subarray(n[s],n[s+1])}}function Xn(t,e,n){let o=ks(t,e),r=new Uint8Array(t.edgeCount),s=new Float64Array(t.size);for(let p=0;p<t.edgeCount;p++)o[t.source[p]]&&o[t.target[p]]&&(r[p]=1,s[t.target[p]]+=Math.abs(t.weight[p]));let i=Zn(t,o,r,s),a=new Float64Array(t.edgeCount);for(let p=0;p<t.edgeCount;p++){let h=t.target[p];r[p]&&s[h]>0&&(a[p]=Math.abs(t.weight[p])/s[h]*i[h])}let l=ws(a.filter(p=>p>0),n),f=a.map(p=>p>0&&p>=l),c={nodes:o,edges:Uint8Array.from(f)};return xs(t,c),c}function ws(t,e){let n=t.reduce((s,i)=>s+i,0),o=Float64Array.from(t).sort().reverse(),r=0;for(let s of o)if((r+=s)/n>=e)return s;return o.length?o[o.length-1]:0}function ks(t,e){let n=r=>t.cumulative[r]-t.influence[r]/(t.influence_total||1),o=r=>t.kind[r]===at||t.kind[r]===le;return Uint8Array.from(t.kind,(r,s)=>e>=1||o(s)||n(s)<e?1:0)}function Zn(t,e,n,o){let r=Float64Array.from(t.logitWeight,(s,i)=>e[i]?s:0);for(let s of t.order){if(!e[s]||!r[s]||!o[s])continue;let i=r[s]/o[s];for(let a of t.inputs.of(s))n[a]&&(r[t.source[a]]+=i*Math.abs(t.weight[a]))}return r}function xs(t,{nodes:e,edges:n}){let o=new Uint32Array(t.size),r=new Uint32Array(t.size);for(let l=0;l<t.edgeCount;l++)n[l]&&(o[t.target[l]]++,r[t.source[l]]++);let s=l=>e[l]&&t.kind[l]<=V&&(!r[l]||t.kind[l]===H&&!o[l]),i=t.order.filter(s),a=(l,f,c)=>{n[l]&&(n[l]=0,f[c]--,i.push(c))};for(;i.length;){let l=i.pop();if(s(l)){e[l]=0;for(let f of t.inputs.of(l))a(f,r,t.source[f]);for(let f of t.outputs.of(l))a(f,o,t.target[f])}}}function Qn(t,{nodes:e,edges:n}){let o=Zn(t,e,n,t.total),r=0,s=0,i=0,a=0,l=0;for(let c=0;c<t.size;c++){if(!e[c]||!o[c])continue;if(t.kind[c]===at&&(r+=o[c]),t.kind[c]===V&&(s+=o[c]),l+=o[c],!t.total[c]){a+=o[c];continue}let p=0,h=0;for(let d of t.inputs.of(c)){if(!n[d])continue;let m=Math.abs(t.weight[d]);h+=m,t.kind[t.source[d]]!==V&&(p+=m)}a+=o[c]*p/t.total[c],i+=o[c]*Math.max(0,1-h/t.total[c])}let f=r+s+i;return{replacement:f?r/f:0,completeness:l?(a+i)/(l+i):0}}var j={left:64,right:20,top:26,bottom:46},je=15,Ms=.55;function to(t,e,n,o){let r=t.n_layers+2,s=t.tokens.length,i=new Map,a=[];for(let $=0;$<t.size;$++)e[$]&&a.push($);a.sort(($,_)=>t.kind[$]-t.kind[_]||t.influence[_]-t.influence[$]);for(let $ of a){let _=(t.layer[$]+1)*s+t.position[$];i.has(_)?i.get(_).push($):i.set(_,[$])}let l=new Float64Array(s).fill(Ms);for(let[$,_]of i)l[$%s]=Math.max(l[$%s],Math.sqrt(_.length));let c=(n-j.left-j.right)/l.reduce(($,_)=>$+_,0),p=new Float64Array(s+1).fill(j.left);l.forEach(($,_)=>p[_+1]=p[_]+$*c);let h=(o-j.top-j.bottom)/r,d=Float64Array.from({length:r},($,_)=>o-j.bottom-(_+.5)*h),m=new Float32Array(t.size),b=new Float32Array(t.size);for(let[$,_]of i){let g=$%s;Ss(_,p[g],p[g+1],d[Math.floor($/s)],h,m,b)}return{x:m,y:b,shown:a,left:p,middle:d,band:h,width:n,height:o}}function Ss(t,e,n,o,r,s,i){let a=Math.max(n-e-8,6),l=r*.8,f=t.length,c=Math.max(1,Math.min(f,Math.max(Math.floor(a/je),Math.ceil(Math.sqrt(f*a/l))))),p=Math.ceil(f/c),h=Math.min(je,a/c),d=Math.min(je,l/p);t.forEach((m,b)=>{let $=Math.floor(b/c),_=Math.min(c,f-$*c);s[m]=(e+n)/2+(b%c-(_-1)/2)*h,i[m]=o+((p-1)/2-$)*d})}function eo({shown:t,x:e,y:n},o,r,s){let i=-1,a=s*s;for(let l of t){let f=(e[l]-o)**2+(n[l]-r)**2;f<a&&(a=f,i=l)}return i}function no({shown:t,x:e,y:n},o,r,s){if(o<0)return t.reduce((l,f)=>l<0||n[f]<n[l]?f:l,-1);let i=o,a=1/0;for(let l of t){let f=(e[l]-e[o])*r+(n[l]-n[o])*s,c=Math.abs((e[l]-e[o])*s)+Math.abs((n[l]-n[o])*r);l!==o&&f>.5&&f+2.5*c<a&&(a=f+2.5*c,i=l)}return i}var mt=4.5,oo=300,As=["ink","faint","paper","up","down","feature","error","embedding","logit","chosen","shared"];function so(t){let e=getComputedStyle(t);return Object.fromEntries(As.map(n=>[n,e.getPropertyValue(`--${n}`).trim()]))}function Oe(t){let e=t.slice(1);return[0,2,4].map(n=>Number.parseInt(e.slice(n,n+2),16))}function ro(t,e,n,o,r){let s=0;for(let p of e)s+=p;let i=new Float32Array(5*s),{x:a,y:l}=n,f=Math.min(1,Math.sqrt(2500/Math.max(s,1))),c=0;for(let p=0;p<e.length;p++){if(!e[p])continue;let h=t.source[p],d=t.target[p],m=t.weight[p],$=(.06+.94*Math.min(1,Math.abs(m)/(t.total[d]||1))**.7)*f;i[c++]=(a[h]*o.k+o.x)*r,i[c++]=(l[h]*o.k+o.y)*r,i[c++]=(a[d]*o.k+o.x)*r,i[c++]=(l[d]*o.k+o.y)*r,i[c++]=m<0?-$:$}return i}function Cs(t,e,n,o,r){if(e===H)return t.moveTo(n+r,o),t.arc(n,o,r,0,2*Math.PI);if(e===at)return t.rect(n-r,o-r,2*r,2*r);let[s,i]=e===V?[r*1.25,r*1.25]:[r*.9,r*1.2];t.moveTo(n,o-r*1.3),t.lineTo(n+i,e===V?o:o+s),e===V&&t.lineTo(n,o+s),t.lineTo(n-i,e===V?o:o+s),t.closePath()}function io(t,e,n,o,r,s){let i=a=>[n.x[a]*o.k+o.x,n.y[a]*o.k+o.y];for(let[a,l]of["feature","error","embedding","logit"].entries())for(let f of[!0,!1]){t.beginPath();for(let c of n.shown)e.kind[c]!==a||!!s?.[c]!==f||Cs(t,a,...i(c),mt);t.globalAlpha=f?.25:1,t.fillStyle=a===V?r.paper:r[l],t.fill(),t.strokeStyle=a===V?r.error:r.paper,t.lineWidth=a===V?1.4:1,t.stroke()}t.globalAlpha=1}function jt(t,e,n,o,r,s=mt+3,i=[]){t.beginPath(),t.setLineDash(i);for(let a of o){let l=e.x[a]*n.k+n.x,f=e.y[a]*n.k+n.y;t.moveTo(l+s,f),t.arc(l,f,s,0,2*Math.PI)}t.strokeStyle=r,t.lineWidth=2,t.stroke(),t.setLineDash([])}function ao(t,e,n,o,r,s,i){for(let a of[e.strongest(s,e.inputs,r,oo),e.strongest(s,e.outputs,r,oo)]){let l=a.length?Math.abs(e.weight[a[0]]):1;for(let f of a.reverse()){let c=e.source[f],p=e.target[f],h=Math.abs(e.weight[f])/l;t.beginPath(),t.moveTo(n.x[c]*o.k+o.x,n.y[c]*o.k+o.y),t.lineTo(n.x[p]*o.k+o.x,n.y[p]*o.k+o.y),t.strokeStyle=e.weight[f]<0?i.down:i.up,t.globalAlpha=.25+.7*h,t.lineWidth=.6+3*h,t.stroke()}}t.globalAlpha=1}var De=(t,e)=>t===0?"token":t===e-1?"output":`L${t-1}`;function lo(t,e,n,o,r){let{left:s,middle:i,band:a,width:l,height:f}=n;t.font="12px system-ui, sans-serif",t.textBaseline="middle",t.strokeStyle=r.faint,t.lineWidth=1,t.globalAlpha=.35,t.beginPath();for(let p=1;p<i.length;p++){let h=(i[p]+a/2)*o.k+o.y;t.moveTo(j.left-8,h),t.lineTo(l,h)}t.stroke(),t.globalAlpha=1,t.fillStyle=r.paper,t.fillRect(0,0,j.left-8,f),t.fillRect(0,f-j.bottom+6,l,j.bottom),t.fillStyle=r.ink,t.textAlign="right";let c=Math.ceil(13/(a*o.k));for(let p=0;p<i.length;p++){let h=i[p]*o.k+o.y,d=p===i.length-1;h<6||h>f-j.bottom||p>0&&!d&&p%c||t.fillText(De(p,i.length),j.left-14,h)}t.textAlign="center";for(let p=0;p<e.tokens.length;p++){let h=s[p]*o.k+o.x,d=s[p+1]*o.k+o.x,m=(h+d)/2;m<j.left||m>l||t.fillText(Ts(t,x(e.tokens[p]),d-h-4),m,f-j.bottom+18+14*(d-h<50?p%2:0))}}function Ts(t,e,n){let o=Math.max(n<50?2*n:n,18);if(t.measureText(e).width<=o)return e;let r=e.slice(0,40);for(;r.length>1&&t.measureText(`${r}\u2026`).width>o;)r=r.slice(0,-1);return`${r}\u2026`}var co=`(()=>{function k({width:o,height:a,lines:t,colours:p}){let c=new Float32Array(o*a),s=new Float32Array(o*a);for(let n=0;n<t.length;n+=5){let m=t[n+4];U(m<0?s:c,o,a,t[n],t[n+1],t[n+2],t[n+3],Math.abs(m))}return q(c,s,p)}function U(o,a,t,p,c,s,n,m){let r=Math.abs(n-c)>Math.abs(s-p),[e,l,f,M]=r?[c,p,n,s]:[p,c,s,n];e>f&&([e,f,l,M]=[f,e,M,l]);let F=r?t:a,x=r?a:t,i=f>e?(M-l)/(f-e):0,h=Math.max(0,Math.ceil(e)),B=Math.min(F-1,Math.floor(f)),C=r?a:1,A=r?1:a;for(let u=h,b=l+(h-e)*i;u<=B;u++,b+=i){if(b<0||b>=x-1)continue;let g=b|0,w=b-g,j=u*C+g*A;o[j]+=m*(1-w),o[j+A]+=m*w}}function q(o,a,[[t,p,c],[s,n,m]]){let r=new Uint8ClampedArray(4*o.length);for(let e=0,l=0;e<o.length;e++,l+=4){let f=o[e]+a[e];if(!f)continue;let M=o[e]/f;r[l]=s+M*(t-s),r[l+1]=n+M*(p-n),r[l+2]=m+M*(c-m),r[l+3]=255*(1-Math.exp(-f))}return r}onmessage=({data:o})=>{let a=performance.now(),t=k(o),{job:p,width:c,height:s}=o;postMessage({job:p,width:c,height:s,pixels:t,took:performance.now()-a},[t.buffer])};})();
`;function uo({width:t,height:e,lines:n,colours:o}){let r=new Float32Array(t*e),s=new Float32Array(t*e);for(let i=0;i<n.length;i+=5){let a=n[i+4];Ps(a<0?s:r,t,e,n[i],n[i+1],n[i+2],n[i+3],Math.abs(a))}return Ns(r,s,o)}function Ps(t,e,n,o,r,s,i,a){let l=Math.abs(i-r)>Math.abs(s-o),[f,c,p,h]=l?[r,o,i,s]:[o,r,s,i];f>p&&([f,p,c,h]=[p,f,h,c]);let d=l?n:e,m=l?e:n,b=p>f?(h-c)/(p-f):0,$=Math.max(0,Math.ceil(f)),_=Math.min(d-1,Math.floor(p)),g=l?e:1,y=l?1:e;for(let w=$,A=c+($-f)*b;w<=_;w++,A+=b){if(A<0||A>=m-1)continue;let M=A|0,P=A-M,I=w*g+M*y;t[I]+=a*(1-P),t[I+y]+=a*P}}function Ns(t,e,[[n,o,r],[s,i,a]]){let l=new Uint8ClampedArray(4*t.length);for(let f=0,c=0;f<t.length;f++,c+=4){let p=t[f]+e[f];if(!p)continue;let h=t[f]/p;l[c]=s+h*(n-s),l[c+1]=i+h*(o-i),l[c+2]=a+h*(r-a),l[c+3]=255*(1-Math.exp(-p))}return l}var ce=class{constructor(e){this.done=e,this.waiting=null,this.busy=!1;try{this.address=URL.createObjectURL(new Blob([co],{type:"text/javascript"})),this.worker=new Worker(this.address),this.worker.onmessage=({data:n})=>this.finish(n),this.worker.onerror=n=>{n.preventDefault(),this.worker=null,this.busy=!1,this.last&&this.paint(this.last)}}catch{this.worker=null}}paint(e){this.last=e,this.busy?this.waiting=e:this.worker?(this.busy=!0,this.worker.postMessage(e)):this.finish({...e,pixels:uo(e),took:0})}finish(e){this.busy=!1;let n=this.waiting;this.waiting=null,this.done(e),n&&this.paint(n)}end(){this.worker?.terminate(),URL.revokeObjectURL(this.address)}};var Us=12,fo={ArrowUp:[0,-1],ArrowDown:[0,1],ArrowLeft:[-1,0],ArrowRight:[1,0]},Ls=30,Ot=class extends Q{box=St();edgesRef=St();nodesRef=St();overRef=St();view={k:1,x:0,y:0};hovered=-1;componentDidMount(){this.painter=new ce(e=>this.painted(e)),this.observer=new ResizeObserver(()=>this.resized()),this.observer.observe(this.box.current),this.box.current.addEventListener("wheel",this.wheel,{passive:!1}),this.unsubscribe=nt.subscribe(()=>this.width&&requestAnimationFrame(()=>this.everything())),this.resized(),this.props.onReady?.(this)}componentWillUnmount(){this.painter.end(),this.observer.disconnect(),this.unsubscribe()}componentDidUpdate(e){let{graph:n,nodes:o,edges:r}=this.props;n!==e.graph&&(this.view={k:1,x:0,y:0}),(n!==e.graph||o!==e.nodes)&&this.place(),n!==e.graph||o!==e.nodes||r!==e.edges?this.everything():this.foreground()}resized(){let{clientWidth:e,clientHeight:n}=this.box.current;if(!(!e||!n||e===this.width&&n===this.height)){Object.assign(this,{width:e,height:n,ratio:Math.min(devicePixelRatio||1,2)});for(let o of[this.edgesRef,this.nodesRef,this.overRef])o.current.width=Math.round(e*this.ratio),o.current.height=Math.round(n*this.ratio);this.place(),this.everything()}}place(){this.width&&(this.placed=to(this.props.graph,this.props.nodes,this.width,this.height))}everything(){this.placed&&(this.ink=so(this.box.current),this.background(),this.foreground())}background(){let{graph:e,edges:n}=this.props,{width:o,height:r}=this.edgesRef.current,s=ro(e,n,this.placed,this.view,this.ratio);this.painter.paint({job:{...this.view},width:o,height:r,lines:s,colours:[Oe(this.ink.up),Oe(this.ink.down)]})}painted({job:e,pixels:n,width:o,height:r}){let s=this.edgesRef.current;!s||s.width!==o||s.height!==r||(s.getContext("2d").putImageData(new ImageData(n,o,r),0,0),this.drawn=e,this.shift(),this.box.current.dataset.drawn=String(Number(this.box.current.dataset.drawn??0)+1))}shift(){let{k:e,x:n,y:o}=this.view;for(let[r,s=this.view]of[[this.edgesRef,this.drawn],[this.nodesRef,this.nodesDrawn]]){let i=e/s.k,a=n-s.x*i,l=o-s.y*i;r.current.style.transform=`translate(${a}px, ${l}px) scale(${i})`}}cleared(e){let n=e.current.getContext("2d");return n.setTransform(this.ratio,0,0,this.ratio,0,0),n.clearRect(0,0,this.width,this.height),n}foreground(){if(!this.placed||!this.ink)return;let{graph:e,matches:n,shared:o,pins:r}=this.props,s=this.cleared(this.nodesRef),i=n?.length?Uint8Array.from(e.kind,(l,f)=>l<2&&!n.includes(f)?1:0):null;io(s,e,this.placed,this.view,this.ink,i);let a=new Set(this.placed.shown);o&&jt(s,this.placed,this.view,o.filter(l=>a.has(l)),this.ink.shared,mt+2.5),r&&jt(s,this.placed,this.view,r.filter(l=>a.has(l)),this.ink.ink,mt+3,[3,2]),this.nodesDrawn={...this.view},this.shift(),this.over()}over(){if(!this.placed||!this.ink)return;let{graph:e,edges:n,selected:o}=this.props,r=this.cleared(this.overRef),s=this.props.nodes,i=this.hovered>=0?this.hovered:o;i>=0&&s[i]&&(ao(r,e,this.placed,this.view,n,i,this.ink),jt(r,this.placed,this.view,[i],this.ink.chosen)),o>=0&&o!==i&&s[o]&&jt(r,this.placed,this.view,[o],this.ink.chosen),lo(r,e,this.placed,this.view,this.ink)}at({clientX:e,clientY:n}){let o=this.box.current.getBoundingClientRect(),{k:r,x:s,y:i}=this.view;return eo(this.placed,(e-o.left-s)/r,(n-o.top-i)/r,Us/r)}hover(e){e!==this.hovered&&(this.hovered=e,this.box.current.style.cursor=e>=0?"pointer":"",this.over(),this.props.onHover?.(e,e>=0&&[this.placed.x[e]*this.view.k+this.view.x,this.placed.y[e]*this.view.k+this.view.y,this.width]))}move=e=>{if(!this.grip)return this.hover(this.at(e));let n=e.clientX-this.grip.x,o=e.clientY-this.grip.y;!this.grip.moved&&Math.hypot(n,o)<4||(this.grip.moved=!0,this.look({k:this.view.k,x:this.grip.view.x+n,y:this.grip.view.y+o}))};down=e=>{e.button===0&&(this.grip={x:e.clientX,y:e.clientY,view:this.view}),this.box.current.setPointerCapture?.(e.pointerId)};up=e=>{let n=this.grip;if(this.grip=null,!n)return;if(n.moved)return this.everything();let o=this.at(e);o>=0&&(e.shiftKey||e.ctrlKey||e.metaKey)?this.props.onPin?.(o):this.props.onSelect(o)};wheel=e=>{e.preventDefault();let n=this.box.current.getBoundingClientRect();this.zoom(Math.exp(-e.deltaY*.0015),e.clientX-n.left,e.clientY-n.top)};zoom(e,n=this.width/2,o=this.height/2){let{k:r,x:s,y:i}=this.view,a=Math.min(Ls,Math.max(1,r*e));this.look(a===1?{k:1,x:0,y:0}:{k:a,x:n-(n-s)*a/r,y:o-(o-i)*a/r}),clearTimeout(this.later),this.later=setTimeout(()=>this.box.current&&this.everything(),120)}look(e){this.view=e,this.shift(),this.over()}keys=e=>{let{current:n,onSelect:o,onPin:r,graph:s,edges:i}=this.props,a=n();if(e.ctrlKey||e.metaKey||e.altKey)return;let l=(f,c)=>f.length&&o(c[f[0]]);if(fo[e.key])o(no(this.placed,a,...fo[e.key]));else if(e.key==="Enter"||e.key==="p")a>=0&&r?.(a);else if(e.key==="i")a>=0&&l(s.strongest(a,s.inputs,i,1),s.source);else if(e.key==="o")a>=0&&l(s.strongest(a,s.outputs,i,1),s.target);else if(e.key==="+"||e.key==="=")this.zoom(1.3);else if(e.key==="-")this.zoom(1/1.3);else if(e.key==="Escape")o(-1);else return;e.preventDefault()};render({label:e,description:n}){return u`<div
      class="picture"
      ref=${this.box}
      tabindex="0"
      role="application"
      aria-roledescription="graph"
      aria-label=${e}
      aria-describedby=${n}
      onPointerMove=${this.move}
      onPointerDown=${this.down}
      onPointerUp=${this.up}
      onPointerLeave=${()=>this.hover(-1)}
      onKeyDown=${this.keys}
    >
      <canvas ref=${this.edgesRef} aria-hidden="true"></canvas>
      <canvas ref=${this.nodesRef} aria-hidden="true"></canvas>
      <canvas ref=${this.overRef} aria-hidden="true"></canvas>
    </div>`}};var Dt={share:.8,edges:.98},Be=(t,e)=>{let n=Number.parseFloat(t);return n>=0&&n<=1?n:e},Is=t=>(t??"").split(";").filter(Boolean).map(e=>{let[n,o=""]=e.split(":");return{name:decodeURIComponent(n),members:o.split(".").map(Number)}}),Fs=t=>t.map(({name:e,members:n})=>`${encodeURIComponent(e)}:${n.join(".")}`).join(";");function $t(t){let{params:e}=q.value,[n,o]=t.thresholds,r=a=>t.byOriginal.get(a)??-1,s=Nn(e.pin).map(r).filter(a=>a>=0),i=Is(e.groups).map(({name:a,members:l})=>({name:a,members:l.map(r).filter(f=>f>=0)})).filter(({members:a})=>a.length);return{selected:e.sel?r(Number(e.sel)):-1,pins:s,groups:i,share:Be(e.share,n??Dt.share),edgeShare:Be(e.edges,o??Dt.edges),sign:["up","down"].includes(e.sign)?e.sign:"both",least:Be(e.min,0),layers:[Number(e.from??0)||0,Math.min(Number(e.to??t.n_layers-1),t.n_layers-1)],query:e.q??"",beside:e.vs??""}}var js=(t,e)=>e.map(n=>t.original[n]).join(","),We=(t,e)=>E({sel:e>=0?t.original[e]:""});function ue(t,e){let{pins:n,groups:o}=$t(t),r=o.map(({name:i,members:a})=>({name:i,members:a.filter(l=>l!==e)})),s=n.includes(e)?n.filter(i=>i!==e):[...n,e];E({pin:js(t,s),...n.includes(e)?ze(t,r):{}},{step:!0})}var ze=(t,e)=>({groups:Fs(e.filter(({members:n})=>n.length).map(({name:n,members:o})=>({name:n,members:o.map(r=>t.original[r])})))});function po(t,e,n){let o=$t(t).groups.map(({name:s,members:i})=>({name:s,members:i.filter(a=>!e.includes(a))})),r=o.find(s=>s.name===n);r?r.members.push(...e):o.push({name:n,members:e}),E(ze(t,o),{step:!0})}function ho(t,e){E(ze(t,$t(t).groups.filter(n=>n.name!==e)),{step:!0})}var mo=()=>E({pin:"",groups:""},{step:!0});function $o(t,e,{sign:n,least:o,layers:r}){let s=a=>t.kind[a]>1||t.layer[a]>=r[0]&&t.layer[a]<=r[1],i=Uint8Array.from(t.kind,(a,l)=>s(l)?1:0);return e.map((a,l)=>{if(!a||!i[t.source[l]]||!i[t.target[l]])return 0;let f=t.weight[l];return n==="up"&&f<0||n==="down"&&f>0?0:Math.abs(f)>=o*t.total[t.target[l]]?1:0})}function _o(t,e,n){let o=n.toLowerCase().split(/\s+/).filter(Boolean);if(!o.length)return[];let r=[];for(let s=0;s<t.size;s++){let i=`${t.name(s)} ${t.label(s)} ${t.tokens[t.position[s]]}`.toLowerCase();e[s]&&o.every(a=>i.includes(a))&&r.push(s)}return r.sort((s,i)=>t.influence[i]-t.influence[s])}var Os=12;function bo({graph:t,chosen:e,shown:n,matches:o,behaviour:r,prompt:s,select:i,shared:a}){let[l,f]=t.thresholds;return u`<section class="controls" aria-label="What is shown">
    <h2>Prune</h2>
    <${qe}
      name="share"
      label="Influence of nodes"
      value=${e.share}
      usual=${l??Dt.share}
    />
    <${qe}
      name="edges"
      label="Influence of edges"
      value=${e.edgeShare}
      usual=${f??Dt.edges}
    />
    ${t.pruned&&u`<p class="note">
        This page holds the ${t.size} of ${t.count.nodes} nodes that pruning kept.
      </p>`}
    ${t.scores.kept_weight<.999&&u`<p class="note">
        The store holds ${D(t.scores.kept_weight)} of all edge weight; scores are of these edges.
      </p>`}
    <h2>Filter edges</h2>
    <fieldset class="signs">
      <legend>Sign</legend>
      ${[["both","both"],["up","positive"],["down","negative"]].map(([c,p])=>u`<label>
            <input
              type="radio"
              name="sign"
              checked=${e.sign===c}
              onChange=${()=>E({sign:c==="both"?"":c})}
            />${p}</label
          >`)}
    </fieldset>
    <${qe} name="min" label="Least share of an input" value=${e.least} usual=${0} most=${.5} />
    <div class="layers">
      <span id="layers">Layers</span>
      ${["from","to"].map((c,p)=>u`<label
            >${c}
            <input
              type="number"
              min="0"
              max=${t.n_layers-1}
              value=${e.layers[p]}
              onInput=${h=>E({[c]:h.currentTarget.value})}
          /></label>`)}
    </div>
    <h2>Find</h2>
    <input
      type="search"
      aria-label="Find features by label, layer, number or token"
      placeholder="label, L3, token …"
      value=${e.query}
      onInput=${c=>E({q:c.currentTarget.value})}
      onKeyDown=${c=>c.key==="Enter"&&o.length&&i(o[0])}
    />
    ${e.query&&u`<p class="note" role="status">${o.length} found</p>
        <ul class="found">
          ${o.slice(0,Os).map(c=>u`<li key=${c}>
                <button class="link" onClick=${()=>i(c)}>
                  ${t.name(c)} <span class="faint">${x(t.tokens[t.position[c]])}</span>
                  <bdi>${v(t.label(c),60)}</bdi>
                </button>
              </li>`)}
        </ul>`}
    ${s&&u`<${Ds} ...${{graph:t,chosen:e,behaviour:r,prompt:s,shared:a}} />`}
    <h2>Legend</h2>
    <${Bs} graph=${t} />
  </section>`}function qe({name:t,label:e,value:n,usual:o,most:r=1}){return u`<label class="slider"
    ><span>${e}</span><output>${D(n)}</output>
    <input
      type="range"
      name=${t}
      min="0"
      max=${r}
      step="0.005"
      value=${n}
      aria-valuetext=${D(n)}
      onInput=${({currentTarget:{value:s}})=>E({[t]:Number(s)===o?"":s})}
  /></label>`}function Ds({graph:t,chosen:e,behaviour:n,prompt:o,shared:r}){let{value:s}=C(`behaviour/${n}`),i=(s?.prompts??[]).filter(({id:l,graph:f})=>f&&l!==o&&B(`graph/${n}/${l}`));if(!i.length)return null;let a=i.find(({id:l})=>l===t.partner);return u`<h2>Beside it</h2>
    ${a&&e.beside!==a.id&&u`<button onClick=${()=>E({vs:a.id},{step:!0})}>its minimal pair</button>`}
    <select
      aria-label="Another graph beside this one"
      value=${e.beside}
      onChange=${l=>E({vs:l.currentTarget.value},{step:!0})}
    >
      <option value="">none</option>
      ${i.map(({id:l,text:f})=>u`<option key=${l} value=${l}>${v(f,60)}</option>`)}
    </select>
    ${r&&u`<p class="note">${r[0].length} nodes are in both.</p>`}`}function Bs(){return u`<ul class="legend">
    ${[["feature","circle","feature"],["error","diamond","error"],["embedding","square","token"],["logit","triangle","output"]].map(([e,n,o])=>u`<li><span class=${`mark ${n} ${e}`}></span>${o}</li>`)}
    <li><span class="stroke up"></span>raises</li>
    <li><span class="stroke down"></span>lowers</li>
  </ul>`}var yo=12;function wo({graph:t,chosen:e,shown:n,behaviour:o,select:r,pin:s}){let i=e.selected;if(i<0)return u`<section class="panel" aria-label="Node">
      <h2>No node is chosen</h2>
      <p class="faint">Click one, or press an arrow key on the picture.</p>
      <${Ws} ...${{graph:t,shown:n,select:r}} />
    </section>`;let a=e.pins.includes(i),l=t.kind[i];return u`<section class="panel" aria-label="Node">
    <h2>${t.name(i)} <span class="faint">at ${x(t.tokens[t.position[i]])}</span></h2>
    ${t.label(i)&&u`<p class="label"><bdi>${v(t.label(i),300)}</bdi></p>`}
    <p class="row">
      <button aria-pressed=${a} onClick=${()=>s(i)}>${a?"Unpin":"Pin"}</button>
      ${o&&l===H&&B(`feature/${o}/${t.layer[i]}/${t.feature[i]}`)&&u`<a href=${O(["feature",o,t.layer[i],t.feature[i]])}>Feature page</a>`}
    </p>
    <dl class="facts">
      <div>
        <dt>influence</dt>
        <dd>${D(t.influence[i])}</dd>
      </div>
      ${l===H&&u`<div>
          <dt>activation</dt>
          <dd>${k(t.activation[i])}</dd>
        </div>`}
      ${t.frequency&&u`<div>
          <dt>in graphs</dt>
          <dd>${D(t.frequency[i])}</dd>
        </div>`}
      ${t.direct_attribution&&u`<div title="nats of margin, by its own edge">
            <dt>direct</dt>
            <dd>${k(t.direct_attribution[i])}</dd>
          </div>
          <div title="nats of margin, by all paths through features">
            <dt>total</dt>
            <dd>${k(t.total_attribution[i])}</dd>
          </div>`}
    </dl>
    ${!n.nodes[i]&&u`<p class="note">Pruned away at this setting.</p>`}
    ${l!==at&&u`<${go}
        title="Inputs"
        ...${{graph:t,select:r}}
        edges=${t.strongest(i,t.inputs,n.edges)}
        end=${t.source}
      />`}
    <${go}
      title="Outputs"
      ...${{graph:t,select:r}}
      edges=${t.strongest(i,t.outputs,n.edges)}
      end=${t.target}
    />
    ${o&&l===H&&u`<${zs} ...${{behaviour:o}} layer=${t.layer[i]} feature=${t.feature[i]} />`}
  </section>`}function Ws({graph:t,shown:e,select:n}){let o=Array.from(t.kind.keys()).filter(i=>e.nodes[i]&&t.kind[i]!==le),r=o.filter(i=>t.kind[i]===H),s=r.length?r:o;return s.sort((i,a)=>t.influence[a]-t.influence[i]),u`<h3>Most influence</h3>
    <ul class="ends">
      ${s.slice(0,yo).map(i=>u`<li key=${i}>
            <button class="link" onClick=${()=>n(i)}>
              <span class="number">${D(t.influence[i])}</span> <${ko} ...${{graph:t,i}} />
            </button>
          </li>`)}
    </ul>`}var ko=({graph:t,i:e})=>u`<span class="name"
    >${t.name(e)}
    <span class="faint">${x(t.tokens[t.position[e]])}</span>
    ${t.label(e)&&u` <bdi>${v(t.label(e),80)}</bdi>`}</span
  >`;function go({title:t,graph:e,edges:n,end:o,select:r}){return u`<h3>${t} <span class="faint">${F(n.length,"edge")}</span></h3>
    <ul class="ends" aria-label=${t}>
      ${n.slice(0,yo).map(s=>{let i=e.weight[s]/(e.total[e.target[s]]||1);return u`<li key=${s}>
          <button
            class="link"
            onClick=${()=>r(o[s])}
            title=${`weight ${k(e.weight[s])}, ${D(Math.abs(i))} of what enters`}
          >
            <span class=${`number ${i<0?"down":"up"}`}>${k(e.weight[s])}</span>
            <${ko} ...${{graph:e,i:o[s]}} />
          </button>
        </li>`})}
    </ul>`}function zs({behaviour:t,layer:e,feature:n}){let o=`feature/${t}/${e}/${n}`,r=C(B(o)&&o),s=C(`behaviour/${t}`);return!r.value||!s.value?r.error?u`<p class="note">${r.error}</p>`:null:u`<${ae} feature=${r.value} behaviour=${s.value} />`}var wt=150,Bt=38;function Mo({graph:t,chosen:e,shown:n,select:o}){let[r,s]=R([]),[i,a]=R({}),[l,f]=R("");if(!e.pins.length)return null;let c=qs(t,e),p=d=>s(d.members.every(m=>r.includes(m))?r.filter(m=>!d.members.includes(m)):[...new Set([...r,...d.members])]),h=d=>{d.preventDefault(),!(!l.trim()||!r.length)&&(po(t,r,l.trim()),s([]),f(""))};return u`<section class="subgraph" aria-label="Pinned nodes">
    <h2>Pinned <span class="faint">${e.pins.length}</span></h2>
    <div class="row">
      <form class="row" onSubmit=${h}>
        <input
          type="text"
          aria-label="Name of the group"
          placeholder="name of a group"
          value=${l}
          onInput=${d=>f(d.currentTarget.value)}
        />
        <button disabled=${!r.length||!l.trim()}>Group ${r.length||""}</button>
      </form>
      <button onClick=${mo}>Unpin all</button>
      <${Ys} ...${{graph:t,nodes:r.length?r:e.pins}} />
    </div>
    <ul class="pins">
      ${c.map(d=>u`<li key=${d.key}>
            <label
              ><input
                type="checkbox"
                checked=${d.members.every(m=>r.includes(m))}
                onChange=${()=>p(d)}
              />
              <bdi>${v(d.name,60)}</bdi></label
            >
            ${d.group?u`<button class="small" onClick=${()=>ho(t,d.group)}>ungroup</button>`:u`<button class="small" onClick=${()=>ue(t,d.members[0])}>unpin</button>`}
          </li>`)}
    </ul>
    <${Gs} ...${{graph:t,boxes:c,shown:n,select:o,moved:i,setMoved:a}} />
  </section>`}function qs(t,{pins:e,groups:n}){let o=new Set(n.flatMap(({members:r})=>r));return[...n.map(({name:r,members:s})=>({key:`group ${r}`,group:r,name:`${r} (${s.length})`,members:s})),...e.filter(r=>!o.has(r)).map(r=>({key:`node ${r}`,name:`${t.words(r)} at ${x(t.tokens[t.position[r]])}`,members:[r]}))]}function Hs(t,e,n){let o=new Map(e.flatMap(({members:s},i)=>s.map(a=>[a,i]))),r=new Map;for(let{members:s}of e)for(let i of s)for(let a of t.inputs.of(i)){let l=o.get(t.source[a]),f=o.get(i);if(!n[a]||l===void 0||l===f)continue;let c=l*e.length+f;r.set(c,(r.get(c)??0)+t.weight[a])}return Array.from(r,([s,i])=>({from:Math.floor(s/e.length),to:s%e.length,weight:i}))}function Gs({graph:t,boxes:e,shown:n,select:o,moved:r,setMoved:s}){let i=Vs(t,e).map((d,m)=>r[e[m].key]??d),a=Math.max(...i.map(([d])=>d))+wt+8,l=Math.max(...i.map(([,d])=>d))+Bt+8,f=Hs(t,e,n.edges),c=Math.max(...f.map(({weight:d})=>Math.abs(d)),1e-9),p=(d,[m,b])=>$=>{let _=$.currentTarget,g=[$.clientX,$.clientY];_.setPointerCapture($.pointerId),_.onpointermove=({clientX:y,clientY:w})=>s(A=>({...A,[d]:[Math.max(0,m+y-g[0]),Math.max(0,b+w-g[1])]})),_.onpointerup=()=>_.onpointermove=_.onpointerup=null},h=f.map(({from:d,to:m,weight:b})=>`${e[d].name} to ${e[m].name}: ${k(b)}`);return u`<div class="scroll" tabindex="0" role="group" aria-label="Boxes of pinned nodes">
    <svg
      class="boxes"
      width=${a}
      height=${l}
      role="img"
      aria-label=${v(`Edges between pinned nodes. ${h.join("; ")}`,2e3)}
    >
      ${f.map(({from:d,to:m,weight:b})=>{let[$,_]=i[d],[g,y]=i[m],w=Math.abs(b)/c;return u`<g class=${b<0?"down":"up"}
          ><line
            x1=${$+wt/2}
            y1=${_}
            x2=${g+wt/2}
            y2=${y+Bt}
            stroke-width=${.8+3.5*w}
            opacity=${.35+.6*w}
          />
          <text x=${($+g+wt)/2} y=${(_+y+Bt)/2}>${k(b,2)}</text></g
        >`})}
      ${e.map((d,m)=>u`<g
            key=${d.key}
            class="box"
            transform=${`translate(${i[m][0]},${i[m][1]})`}
            onPointerDown=${p(d.key,i[m])}
            onDblClick=${()=>o(d.members[0])}
          >
            <rect width=${wt} height=${Bt} rx="5" class=${d.group?"group":""} />
            <text x="8" y="16">${v(d.group??t.name(d.members[0]),22)}</text>
            <text x="8" y="31" class="faint"
              >${d.group?`${d.members.length} nodes`:v(Ks(t,d.members[0]),22)}</text
            >
          </g>`)}
    </svg>
  </div>`}var Ks=(t,e)=>t.label(e)||x(t.tokens[t.position[e]]);function Vs(t,e){let n=({members:i},a)=>i.reduce((l,f)=>l+a[f],0)/i.length,o=e.map(i=>Math.round(n(i,t.layer))),r=[...new Set(o)].sort((i,a)=>a-i),s=[];return r.forEach((i,a)=>{let l=e.map((f,c)=>c).filter(f=>o[f]===i);l.sort((f,c)=>n(e[f],t.position)-n(e[c],t.position)),l.forEach((f,c)=>s[f]=[8+c*(wt+22),8+a*(Bt+34)])}),s}var xo=t=>JSON.stringify(t);function Js(t,e){let n=e.filter(r=>t.kind[r]===H).map(r=>`    (${t.layer[r]}, ${t.position[r]}, ${t.feature[r]}): 0.0,  # was `+t.activation[r].toPrecision(4)),o=t.model?`, model=${xo(t.model)}`:"";return`cs.intervene(${xo(t.text)}, {
${n.join(`
`)}
}${o})`}function Ys({graph:t,nodes:e}){let[n,o]=R(""),[r,s]=R(!1);return t.aggregated||!e.some(a=>t.kind[a]===H)?null:u`<button title="An intervention that sets these features to 0" onClick=${async()=>{let a=Js(t,e);o(a),s(await navigator.clipboard?.writeText(a).then(()=>!0,()=>!1))}}>
      Copy as Python
    </button>
    <span role="status">${r&&"copied"}</span>
    ${n&&u`<textarea readonly aria-label="Python" rows="4" cols="60" value=${n}></textarea>`}`}var Xs=2e4;function Co({graph:t,picture:e,shown:n,chosen:o}){let[r,s]=R(""),i=f=>`${t.title.replace(/[^\w.-]+/g,"-").slice(0,80)}.${f}`;return u`<p class="row">
    <button onClick=${()=>{let{text:f,left:c}=Zs(t,n,o,e.current);s(c?`The ${c} weakest edges are left out.`:""),So(new Blob([f],{type:"image/svg+xml"}),i("svg"))}}>Save as SVG</button><button onClick=${async()=>{let{edgesRef:f,nodesRef:c,overRef:p,ink:h}=e.current,{width:d,height:m}=c.current,b=Object.assign(document.createElement("canvas"),{width:d,height:m}),$=b.getContext("2d");$.fillStyle=h.paper,$.fillRect(0,0,d,m);for(let _ of[f,c,p])$.drawImage(_.current,0,0);b.toBlob(_=>So(_,i("png")))}}>Save as PNG</button>
    <span class="note" role="status">${r}</span>
  </p>`}function So(t,e){let n=Object.assign(document.createElement("a"),{href:URL.createObjectURL(t),download:e});n.click(),setTimeout(()=>URL.revokeObjectURL(n.href),1e4)}var He=t=>x(t).replace(/[&<>"']/g,e=>`&#${e.charCodeAt(0)};`);function Zs(t,e,n,{placed:o,view:r,ink:s,width:i,height:a}){let l=y=>[o.x[y]*r.k+r.x,o.y[y]*r.k+r.y].map(w=>w.toFixed(1)),f=Array.from(e.edges.keys()).filter(y=>e.edges[y]),c=y=>Math.abs(t.weight[y])/(t.total[t.target[y]]||1);f.sort((y,w)=>c(y)-c(w));let p=Math.max(0,f.length-Xs);f=f.slice(p);let h=f.map(y=>{let[w,A]=l(t.source[y]),[M,P]=l(t.target[y]),I=Math.min(1,c(y)),_t=t.weight[y]<0?s.down:s.up,J=(.4+3*I).toFixed(2),Z=(.15+.8*I).toFixed(2);return`<line ${`x1="${w}" y1="${A}" x2="${M}" y2="${P}"`} stroke="${_t}" stroke-width="${J}" opacity="${Z}"/>`}),d=o.shown.map(y=>{let[w,A]=l(y),M=Yn[t.kind[y]],P=y===n.selected?` stroke="${s.chosen}" stroke-width="2.5"`:` stroke="${s.paper}"`,I=`fill="${s.paper}" stroke="${s.error}"`,_t=M==="error"?I:`fill="${s[M]}"${P}`,J=`<title>${He(t.words(y))}</title>`;return`<g transform="translate(${w} ${A})" ${_t}>${J}${Qs[M]}</g>`}),m=t.tokens.map((y,w)=>{let A=(o.left[w]+o.left[w+1])/2*r.k+r.x;return Ao(A,a-j.bottom+18,"middle",He(y))}),b=Array.from(o.middle,(y,w)=>Ao(j.left-14,y*r.k+r.y+4,"end",De(w,o.middle.length))),$=`font-family="sans-serif" font-size="12" fill="${s.ink}"`;return{text:`<svg xmlns="http://www.w3.org/2000/svg" ${`width="${i}" height="${a}" viewBox="0 0 ${i} ${a}"`} ${$}>
<title>${He(t.text)}</title><rect width="100%" height="100%" fill="${s.paper}"/>
${h.join(`
`)}
${d.join(`
`)}
${m.join(`
`)}
${b.join(`
`)}
</svg>
`,left:p}}var Ao=(t,e,n,o)=>`<text x="${t.toFixed(1)}" y="${e.toFixed(1)}" text-anchor="${n}">${o}</text>`,G=mt,Qs={feature:`<circle r="${G}"/>`,embedding:`<rect x="${-G}" y="${-G}" width="${2*G}" height="${2*G}"/>`,error:`<path d="M0 ${-1.3*G}L${1.25*G} 0L0 ${1.25*G}L${-1.25*G} 0Z"/>`,logit:`<path d="M0 ${-1.3*G}L${1.2*G} ${.9*G}L${-1.2*G} ${.9*G}Z"/>`};function fe({behaviour:t,prompt:e,text:n}){let o=n?`text/${n}`:e?`graph/${t}/${e}`:`circuit/${t}`,r=C(o);return r.value?u`<${tr} key=${o} record=${r.value} behaviour=${t} prompt=${e} />`:u`<${W} ...${r} />`}function tr({record:t,behaviour:e,prompt:n}){let o=z(()=>new Ft(t),[t]),r=$t(o),s=To(o,r),i=z(()=>_o(o,s.nodes,r.query),[o,s.nodes,r.query]),a=r.beside&&`graph/${e}/${r.beside}`,l=C(a),f=z(()=>l.value&&new Ft(l.value),[l.value]),c=Ee(null),p=Tt(null),h=_=>We(o,_),d=_=>ue(o,_),m=(_,g)=>c.value=_>=0?{i:_,at:g}:null,b=To(f,r),$=z(()=>f&&er(o,s,f,b),[o,s,f,b]);return u`<main class="graph-page">
    <${bo} ...${{graph:o,chosen:r,shown:s,matches:i,behaviour:e,prompt:n,select:h,shared:$}} />
    <section class="pictures" aria-label="Graph">
      <${nr} ...${{graph:o,shown:s}} />
      <div class=${`${f?"two":"one"} ${r.pins.length?"pinned":""}`}>
        <div class="holder">
          <${Ot}
            onReady=${_=>p.current=_}
            ...${{graph:o,nodes:s.nodes,edges:s.edges,matches:i,pins:r.pins}}
            selected=${r.selected}
            current=${()=>$t(o).selected}
            shared=${$?.[0]}
            onSelect=${h}
            onPin=${d}
            onHover=${m}
            label=${`Attribution graph of ${v(o.text)}`}
            description="picture-keys"
          />
          <${sr} ...${{graph:o,tip:c}} />
        </div>
        ${a&&!f&&u`<${W} ...${l} />`}
        ${f&&u`<${rr} ...${{graph:o,other:f,otherShown:b,chosen:r,shared:$[1],behaviour:e}} />`}
      </div>
      <p id="picture-keys" class="keys">
        Click a node for its inputs and outputs; shift-click pins it. Drag moves, the wheel zooms. Keys:
        arrows,
        <kbd>i</kbd> strongest input, <kbd>o</kbd> strongest output, <kbd>p</kbd> pin, <kbd>+</kbd>
        <kbd>-</kbd>, <kbd>Esc</kbd>.
      </p>
      <${Mo} ...${{graph:o,chosen:r,shown:s,select:h}} />
      <${Co} ...${{graph:o,picture:p,shown:s,chosen:r}} />
      <${ir} ...${{graph:o,shown:s,select:h}} />
    </section>
    <${wo} ...${{graph:o,chosen:r,shown:s,behaviour:e,select:h,pin:d}} />
    <p class="announce" role="status">${r.selected>=0?or(o,r.selected):""}</p>
  </main>`}function To(t,{share:e,edgeShare:n,sign:o,least:r,layers:s}){let i=z(()=>{if(!t)return null;let a=Xn(t,e,n),l=f=>f.reduce((c,p)=>c+p,0);return{...a,scores:Qn(t,a),counts:{nodes:l(a.nodes),edges:l(a.edges)}}},[t,e,n]);return z(()=>i?{...i,edges:$o(t,i.edges,{sign:o,least:r,layers:s}),pruned:i.edges}:null,[i,o,r,...s])}function er(t,e,n,o){let r=new Map;for(let i=0;i<n.size;i++)o.nodes[i]&&r.set(n.identity(i),i);let s=[[],[]];for(let i=0;i<t.size;i++){let a=e.nodes[i]?r.get(t.identity(i)):void 0;a!==void 0&&(s[0].push(i),s[1].push(a))}return s}function nr({graph:t,shown:e}){let{scores:n,counts:o}=e;return u`<div class="heading">
    <h1>
      <bdi>${v(t.text,160)}</bdi
      >${t.answers&&u` <span class="answer"
          >→ ${x(t.answers[0])} <span class="faint">not</span> ${x(t.answers[1])}</span
        >`}
    </h1>
    <dl class="facts">
      <div
        title="Influence that runs from tokens through shown features alone; what is hidden counts as error"
      >
        <dt>replacement</dt>
        <dd>
          <span data-score="replacement">${k(n.replacement)}</span
          ><${Ro} value=${t.scores.replacement_score} />
        </dd>
      </div>
      <div
        title="How much of what enters shown nodes comes from shown ones; what is hidden counts as error"
      >
        <dt>completeness</dt>
        <dd>
          <span data-score="completeness">${k(n.completeness)}</span
          ><${Ro} value=${t.scores.completeness_score} />
        </dd>
      </div>
      <div>
        <dt>shown</dt>
        <dd>${F(o.nodes,"node")}, ${F(o.edges,"edge")}</dd>
      </div>
    </dl>
  </div>`}var Ro=({value:t})=>t!==void 0&&u` <span class="faint">whole graph ${k(t)}</span>`,or=(t,e)=>{let n=t.label(e),r=t.kind[e]===0?`, activation ${k(t.activation[e])}`:"",s=`${t.name(e)}${n?`, ${v(n)}`:""}`,i=x(t.tokens[t.position[e]]);return`${s}, at ${i}${r}, influence ${k(t.influence[e])}`};function sr({graph:t,tip:e}){if(!e.value)return null;let{i:n,at:[o,r,s]}=e.value,i=o>s/2?{right:`${s-o+14}px`}:{left:`${o+14}px`};return u`<div class="tip" style=${{top:`${Math.max(0,r-12)}px`,...i}}>
    <b>${t.name(n)}</b> at ${x(t.tokens[t.position[n]])}
    ${t.label(n)&&u`<br /><bdi>${v(t.label(n),120)}</bdi>`} <br />influence
    ${k(t.influence[n])}${t.kind[n]===0&&u`, activation ${k(t.activation[n])}`}
  </div>`}function rr({graph:t,other:e,otherShown:n,chosen:o,shared:r,behaviour:s}){let i=c=>c>=0?r.find(p=>e.identity(p)===t.identity(c))??-1:-1,a=i(o.selected),l=()=>i($t(t).selected),f=c=>{let p=c>=0?Array.from({length:t.size},(h,d)=>d).find(h=>t.identity(h)===e.identity(c)):-1;We(t,p??-1)};return u`<div class="holder">
    <p class="beside">
      <bdi>${v(e.text,120)}</bdi> <span class="faint">${r.length} shared, ringed</span>
      <button onClick=${()=>E({vs:""},{step:!0})}>Close</button>
    </p>
    <${Ot}
      ...${{graph:e,nodes:n.nodes,edges:n.edges}}
      ...${{selected:a,current:l,shared:r,onSelect:f}}
      label=${`Attribution graph of ${v(e.text)}`}
      description="picture-keys"
    />
  </div>`}function ir({graph:t,shown:e,select:n}){let[o,r]=R(!1),s=o?Array.from(t.kind.keys()).filter(i=>e.nodes[i]).sort((i,a)=>t.influence[a]-t.influence[i]).slice(0,200):[];return u`<details class="table" onToggle=${i=>r(i.currentTarget.open)}>
    <summary>Nodes as a table</summary>
    <table>
      <thead>
        <tr>
          <th>node</th>
          <th>token</th>
          <th>label</th>
          <th>influence</th>
        </tr>
      </thead>
      <tbody>
        ${s.map(i=>u`<tr key=${i}>
              <td><button class="link" onClick=${()=>n(i)}>${t.name(i)}</button></td>
              <td>${x(t.tokens[t.position[i]])}</td>
              <td><bdi>${v(t.label(i),120)}</bdi></td>
              <td class="number">${D(t.influence[i])}</td>
            </tr>`)}
      </tbody>
    </table>
  </details>`}function Eo({behaviour:t,phase:e}){let{value:n,error:o}=C(`provenance/${t}/${e}`);return n?u`<main class="page provenance">
    <h1>${v(n.name)}</h1>
    <p><a href=${O(["behaviour",t])}>${v(t)}</a></p>
    ${Object.entries(n.chain).map(([r,s],i)=>u`<section key=${r} id=${r}>
          <h2>${v(r)}</h2>
          <dl class="tree">
            <div>
              <dt>artifact (its inputs)</dt>
              <dd><code>${s.artifact}</code></dd>
            </div>
            <div>
              <dt>content</dt>
              <dd><code>${s.content}</code></dd>
            </div>
          </dl>
          ${Object.entries(s.components).map(([a,l])=>u`<details open=${i===0&&a==="upstream"}>
                <summary>${a} <span class="faint">${ar(l)}</span></summary>
                <${Po} value=${l} />
              </details>`)}
        </section>`)}
  </main>`:u`<${W} error=${o} />`}var ar=t=>t&&typeof t=="object"?F(Object.keys(t).length,"entry").replace("entrys","entries"):se(String(t));function Po({value:t}){return t===null||typeof t!="object"?u`<code>${v(t,300)}</code>`:u`<dl class="tree">
    ${Object.entries(t).map(([e,n])=>u`<div>
          <dt>${v(e,120)}</dt>
          <dd><${Po} value=${n} /></dd>
        </div>`)}
  </dl>`}var Ge="unlabelled",de=class{constructor(e){this.key=`circuitstore.drafts.${location.host}.${e}`;try{this.all=JSON.parse(Le(this.key)??"{}")}catch{this.all={}}}of=({layer:e,feature:n})=>this.all[`${e}/${n}`];keep({layer:e,feature:n},o,r){this.all[`${e}/${n}`]={label:o,note:r},re(this.key,JSON.stringify(this.all))}drop({layer:e,feature:n}){delete this.all[`${e}/${n}`],re(this.key,Object.keys(this.all).length?JSON.stringify(this.all):"")}};async function No(t,{layer:e,feature:n},o,r,s){let i={label:s.reviewer_label,author:s.reviewer,note:s.reviewer_note};try{let a=await Pe("api/review",{method:"POST",headers:{"Content-Type":"application/json"},body:JSON.stringify({behaviour:t,layer:e,feature:n,label:o,note:r,before:i})}),l=await a.json();It(`features/${t}`),It(`feature/${t}/${e}/${n}`);let f={reviewer_label:l.label,reviewer:l.author,reviewer_note:l.note};return a.status===409?{theirs:!0,now:f}:{saved:!0,now:f}}catch(a){return{error:a.message}}}var Uo=60;function Lo({behaviour:t}){let[e,n]=R(0),o=C(`features/${t}`,e),r=C("access");if(!o.value)return u`<${W} ...${o} />`;let s=()=>(It(`features/${t}`),n(e+1));return u`<${lr}
    table=${o.value}
    ...${{behaviour:t,again:s}}
    author=${r.value?.author??""}
  />`}function lr({table:t,behaviour:e,again:n,author:o}){let{params:r}=q.value,s=z(()=>new de(e),[e]),[i,a]=R(""),[l,f]=R(null),[c,p]=R({}),h=z(()=>cr(t,r),[t,r.q,r.open]),d=Math.max(0,Math.min(h.length-1,h.findIndex(g=>`${t.layer[g]}/${t.feature[g]}`===r.at))),m=h[d],b=m===void 0?null:{...Io(t,m),...c[`${t.layer[m]}/${t.feature[m]}`]},$=g=>{let y=h[Math.max(0,Math.min(h.length-1,d+g))];y!==void 0&&E({at:`${t.layer[y]}/${t.feature[y]}`}),f(null)},_=async(g,y=b.reviewer_note,w=b)=>{s.keep(b,g,y),a("saving \u2026");let A=await No(e,b,g,y,w);(A.saved||A.theirs)&&p(M=>({...M,[`${b.layer}/${b.feature}`]:A.now})),a(A.saved?`saved: ${v(g,80)}`:A.theirs?"":`not saved, kept in this browser: ${A.error}`),f(A.theirs?{label:g,remark:y,theirs:A.now}:null),A.saved&&(s.drop(b),$(1))};return u`<main class="page review">
    <h1>Features of <bdi>${v(e,80)}</bdi></h1>
    <p class="note">
      ${o?u`Decisions are saved as <b><bdi>${v(o,80)}</bdi></b
              >.`:"Read only: `circuitstore view --review --author NAME` lets you label."}
      ${" "}<kbd>j</kbd> next,
      <kbd>k</kbd> back${o&&u`, <kbd>a</kbd> accept, <kbd>e</kbd> edit, <kbd>r</kbd> reject`}
    </p>
    <div class="row">
      <input
        type="search"
        aria-label="Find features"
        placeholder="label, L3, #883"
        value=${r.q??""}
        onInput=${g=>E({q:g.currentTarget.value,at:""})}
      />
      <label
        ><input
          type="checkbox"
          checked=${r.open==="1"}
          onChange=${g=>E({open:g.currentTarget.checked?"1":"",at:""})}
        />
        without a reviewer's label</label
      >
      <span class="faint">${F(h.length,"feature")}, by activation</span>
    </div>
    <div class="reviewing">
      <${ur} ...${{table:t,list:h,at:d,local:c,behaviour:e}} />
      ${b?u`<${fr}
            key=${`${b.layer}/${b.feature}`}
            ...${{row:b,behaviour:e,author:o,save:_,go:$,note:i,conflict:l,setConflict:f,drafts:s,again:n}}
          />`:u`<p class="note">Nothing is found.</p>`}
    </div>
  </main>`}var Io=(t,e)=>Object.fromEntries(["layer","feature","label","reviewer_label","reviewer","reviewer_note"].map(n=>[n,t[n][e]]));function cr(t,{q:e="",open:n}){let o=e.toLowerCase().split(/\s+/).filter(Boolean),r=[];for(let i=0;i<t.layer.length;i++){let a=`l${t.layer[i]} #${t.feature[i]} ${t.reviewer_label[i]} ${t.label[i]}`.toLowerCase();(n!=="1"||!t.reviewer_label[i])&&o.every(l=>a.includes(l))&&r.push(i)}let s=i=>t.mean_activation[i]*t.active_prompts[i];return r.sort((i,a)=>s(a)-s(i))}function ur({table:t,list:e,at:n,local:o,behaviour:r}){let s=Math.max(0,Math.min(n-10,e.length-Uo));return u`<ol class="list" start=${s+1} aria-label="Features">
    ${e.slice(s,s+Uo).map((i,a)=>{let l=`${t.layer[i]}/${t.feature[i]}`,f={...Io(t,i),...o[l]};return u`<li key=${l} class=${s+a===n?"current":""}>
        <a
          aria-current=${s+a===n?"true":void 0}
          href=${O(["features",r],{...q.value.params,at:l})}
        >
          L${f.layer} #${f.feature}
          <bdi class=${f.reviewer_label?"":"faint"}>${v(f.reviewer_label||f.label,60)}</bdi
          >${f.reviewer_label&&" \u2713"}</a
        >
      </li>`})}
  </ol>`}function fr({row:t,behaviour:e,author:n,save:o,go:r,note:s,conflict:i,setConflict:a,drafts:l,again:f}){let c=l.of(t),[p,h]=R(c?.label??t.reviewer_label??""),[d,m]=R(c?.note??t.reviewer_note??""),b=Tt(null),$=`feature/${e}/${t.layer}/${t.feature}`,_=C(B($)&&$),g=C(`behaviour/${e}`),y=()=>(b.current?.focus(),b.current?.select());ft(()=>{let M=P=>{if(/^(INPUT|TEXTAREA|SELECT)$/.test(P.target.tagName)||P.ctrlKey||P.metaKey||P.altKey)return;let I={j:()=>r(1),k:()=>r(-1),ArrowDown:()=>r(1),ArrowUp:()=>r(-1),...n&&{a:()=>t.label&&o(t.label),e:y,r:()=>o(Ge)}}[P.key];I&&(P.preventDefault(),I())};return addEventListener("keydown",M),()=>removeEventListener("keydown",M)});let w=(M,P)=>(h(M),m(P),l.keep(t,M,P)),A=M=>(M.preventDefault(),p.trim()&&o(p.trim(),d.trim()));return u`<section class="deciding" aria-label="Feature">
    <h2>
      L${t.layer} #${t.feature}${" "}
      ${B($)&&u`<a href=${O(["feature",e,t.layer,t.feature])}>page</a>`}
    </h2>
    <p>automatic: <bdi>${v(t.label,300)}</bdi></p>
    ${t.reviewer_label&&u`<p>
        now: <b><bdi>${v(t.reviewer_label,500)}</bdi></b>
        <span class="faint">by <bdi>${v(t.reviewer,80)}</bdi></span>
      </p>`}
    ${n&&u`<form onSubmit=${A} class="decide">
        <label
          >Label
          <input
            ref=${b}
            type="text"
            maxlength="10000"
            value=${p}
            onInput=${M=>w(M.currentTarget.value,d)}
            onKeyDown=${M=>M.key==="Escape"&&M.currentTarget.blur()}
        /></label>
        <label
          >Note
          <input
            type="text"
            maxlength="10000"
            value=${d}
            onInput=${M=>w(p,M.currentTarget.value)}
            onKeyDown=${M=>M.key==="Escape"&&M.currentTarget.blur()}
        /></label>
        <p class="row">
          <button type="submit" disabled=${!p.trim()}>Save</button
          ><button type="button" disabled=${!t.label} onClick=${()=>o(t.label)}>Accept</button>
          <button type="button" onClick=${()=>o(Ge)}>Reject</button
          ><button type="button" class="small" onClick=${f}>Read labels again</button>
        </p>
      </form>`}
    <p role="status" class="note saved">
      ${s||(c&&!i?"A draft that is not saved yet.":"")}
    </p>
    ${i&&u`<div class="problem" role="alert">
        <p>
          <bdi>${v(i.theirs.reviewer,80)}</bdi> has meanwhile said
          “<bdi>${v(i.theirs.reviewer_label,300)}</bdi>”. You said
          “<bdi>${v(i.label,300)}</bdi>”.
        </p>
        <p class="row">
          <button onClick=${()=>(l.drop(t),a(null),r(1))}>Keep theirs</button
          ><button onClick=${()=>o(i.label,i.remark,i.theirs)}>Save mine</button>
        </p>
      </div>`}
    ${_.value&&g.value?u`<${ae} feature=${{..._.value,...t}} behaviour=${g.value} />`:_.error&&u`<p class="note">${_.error}</p>`}
  </section>`}var Fo=t=>new Date(1e3*t).toISOString().slice(0,16).replace("T"," ");function jo(){let{value:t,error:e}=C("store");if(!t)return u`<${W} error=${e} />`;let{behaviours:n,phases:o,rows:r,profile:s}=t,i=a=>r.filter(l=>l.behaviour===a);return u`<main class="page">
    <h1>Store <span class="faint">profile ${s}</span></h1>
    <p class="note">
      ${F(r.length,"result")} of ${F(n.length,"behaviour")}. Times are UTC.
    </p>
    <${pt}
      label="Results by phase and behaviour"
      head=${["behaviour",...o]}
      rows=${n.map(a=>u`<${pr} key=${a} ...${{behaviour:a,phases:o}} rows=${i(a)} />`)}
    />
    <${dr} list=${t.texts} />
    <${hr} behaviours=${n} />
  </main>`}function dr({list:t}){return t.length?u`<section>
    <h2>Single texts</h2>
    <ul>
      ${t.map(({name:e,text:n,target:o,against:r,time:s})=>u`<li key=${e}>
          <a href=${O(["text",e])}><bdi>${v(n,120)}</bdi></a>
          ${o&&` \u2192 ${x(o)}`}
          ${r&&u` <span class="faint">not ${x(r)}</span>`}
          ${" "}<span class="faint">${Fo(s)}</span>
        </li>`)}
    </ul>
  </section>`:null}function pr({behaviour:t,phases:e,rows:n}){let o=C(Lt&&`status/${t}`),r=new Map((o.value?.phases??[]).map(s=>[s.phase,s]));return u`<tr>
    <th scope="row">
      <a href=${O(["behaviour",t])}><bdi>${v(t,60)}</bdi></a>
    </th>
    ${e.map(s=>{let i=n.find(f=>f.phase===s),a=r.get(s),l=a?.state??(i?"built":"missing");return u`<td class=${`state ${l}`} title=${(a?.why??[]).join(`
`)||void 0}>
        ${i?u`<a href=${O(["provenance",t,s])}>${l}</a>`:l}
        ${i&&u`<br /><span class="faint">${se(i.content)}<br />${Fo(i.time)}</span>`}
      </td>`})}
  </tr>`}function hr({behaviours:t}){return Lt?u`<section>
    <h2>Why</h2>
    ${t.map(e=>u`<${mr} key=${e} behaviour=${e} />`)}
  </section>`:null}function mr({behaviour:t}){let{value:e,error:n}=C(`status/${t}`);if(!e)return u`<${W} error=${n} />`;let o=e.phases.filter(({state:r})=>r!=="fresh");return u`<h3><bdi>${v(t,60)}</bdi></h3>
    ${e.unknown?u`<p class="note">State not known: ${v(e.unknown,500)}</p>`:o.length?u`<ul>
              ${o.map(({phase:r,state:s,why:i,todo:a})=>u`<li>
                  ${v(r)}: ${s},
                  ${" "}${a?`${F(a,"cell")} to compute`:"cells not known yet"}
                  ${i.map(l=>u`<br /><span class="faint">${v(l,500)}</span>`)}
                </li>`)}
            </ul>`:u`<p class="note">Everything is fresh.</p>`}`}var $r={graph:([t,e])=>u`<${fe} ...${{behaviour:t,prompt:e}} />`,text:([t])=>u`<${fe} text=${t} />`,circuit:([t])=>u`<${fe} behaviour=${t} />`,feature:([t,e,n])=>u`<${Gn} ...${{behaviour:t,layer:e,feature:n}} />`,features:([t])=>u`<${Lo} behaviour=${t} />`,behaviour:([t])=>u`<${Dn} behaviour=${t} />`,provenance:([t,e])=>u`<${Eo} ...${{behaviour:t,phase:e}} />`};function _r(){let[t,...e]=q.value.parts,n=$r[t]?.(e)??u`<${jo} />`,o=t!=="text"&&e[0];return u`<header>
      <nav aria-label="Where this is">
        ${B("store")?u`<a href=${O([])}>circuitstore</a>`:u`<b>circuitstore</b>`}
        ${o&&u`<span aria-hidden="true">/</span
            >${B(`behaviour/${o}`)?u`<a href=${O(["behaviour",o])}><bdi>${v(o,40)}</bdi></a>`:u`<bdi>${v(o,40)}</bdi>`}
            <span aria-hidden="true">/</span><bdi>${v([t,...e.slice(1)].join(" "),60)}</bdi>`}
      </nav>
      <button class="small" aria-pressed=${nt.value} onClick=${In}>Dark</button>
    </header>
    ${n}`}we(u`<${_r} />`,document.getElementById("app"));})();
